"""All the media of one participant: what it publishes, what it is sent, and data.

Newer clients use one peer connection, in which only they can offer; older ones use two, one that they offer for what
they publish, and one that is offered to them for what they get.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from aiortc import RTCCertificate

from roombell.rooms.media import sdp
from roombell.rooms.media.channels import Channels
from roombell.rooms.media.codecs import forwarded
from roombell.rooms.media.forwarding import Source
from roombell.rooms.media.link import Link
from roombell.rooms.media.negotiation import answer, offer, remote_end
from roombell.rooms.media.subscribing import Subscriptions

_DATA_MID: Final = "0"


class Published(msgspec.Struct, frozen=True):
    """A section in which a client sends media, by its offer."""

    mid: str
    kind: str
    track_id: str
    """What the client calls the track."""
    source: Source


class Answer(msgspec.Struct, frozen=True):
    """What goes back to a client that made an offer."""

    text: str
    track_id_by_mid: dict[str, str]
    """Which track is sent in which section."""


class Peer:
    """The media side of a participant's session.

    :param certificate: the server's, for DTLS.
    :param addresses: of this machine, to be reached at.
    :param is_single: whether the client has one peer connection for both directions.
    :param is_subscriber_primary: with two: whether the one for receiving is what makes the participant active.
    :param on_connected: called when the primary connection is up.
    :param on_failed: called when a connection could not be made, or is lost.
    :param on_data: called with each data message: the channel's label, and the bytes.
    """

    def __init__(
        self,
        certificate: RTCCertificate,
        addresses: Sequence[str],
        *,
        is_single: bool,
        is_subscriber_primary: bool,
        on_connected: Callable[[], None],
        on_failed: Callable[[], None],
        on_data: Callable[[str, bytes], None],
    ) -> None:
        self.is_single = is_single
        self._on_connected = on_connected
        self._on_failed = on_failed
        self.channels = Channels(on_data)

        def link(*, is_primary: bool, is_controlling: bool) -> Link:
            return Link(
                certificate,
                addresses,
                is_controlling=is_controlling,
                on_state=lambda state: self._on_state(state, is_primary=is_primary),
                on_channel=self.channels.take,
            )

        two_and_subscriber = not is_single and is_subscriber_primary
        self._publisher = link(is_primary=not two_and_subscriber, is_controlling=False)
        self._subscriber = self._publisher if is_single else link(is_primary=two_and_subscriber, is_controlling=True)
        self._primary = self._subscriber if two_and_subscriber else self._publisher
        now_s = asyncio.get_running_loop().time
        self.subscriptions = Subscriptions(self._subscriber, secrets.token_hex(8), now_s)
        self._offered: sdp.Description | None = None
        self._session_id = secrets.randbelow(2**62)
        self._version = 0
        self._gathered: set[Link] = set()
        self._early: dict[Link, list[str]] = {self._publisher: [], self._subscriber: []}

    @property
    def is_connecting(self) -> bool:
        """Whether the primary connection is on its way up."""
        return self._primary.transport.state == "connecting"

    async def take_offer(self, text: str) -> tuple[Published, ...]:
        """Takes a client's offer; ``answer`` answers it.

        :returns: what the client publishes by it.
        :raises SdpError: it cannot be used.
        :raises OSError: no socket could be opened.
        """
        self._offered = offered = sdp.parse(text)
        link = self._publisher
        has_data = any(section.kind == "application" and not section.is_rejected for section in offered.sections)
        if self.is_single and has_data:
            self.channels.open(link.transport.sctp)
        await self._use(link, offered, has_data=has_data)
        published = tuple(
            Published(section.mid, section.kind, section.track_id, link.source(section.mid, section.kind))
            for section in offered.sections
            if section.sends and section.kind in ("audio", "video")
        )
        codecs = {section.mid: section.codecs for section in offered.sections}
        for one in published:
            one.source.use_codecs(forwarded(one.kind, codecs[one.mid]))
        link.route(offered)
        if self.is_single:
            self.subscriptions.place_in(offered)
        return published

    def answer(self) -> Answer:
        """The answer to the offer that was taken last."""
        assert self._offered is not None, "an answer follows an offer"
        streams = self.subscriptions.agree() if self.is_single else {}
        transport = self._publisher.transport
        text = self._render(answer(self._offered, transport.local_end, streams, setup=transport.setup))
        return Answer(text, {mid: stream.track_id for mid, stream in streams.items()})

    async def make_offer(self) -> str:
        """An offer of what the participant is to get: with two connections only.

        :raises OSError: no socket could be opened.
        """
        link = self._subscriber
        await self._gather(link)
        self.channels.open(link.transport.sctp)
        self.subscriptions.place()
        return self._render(offer(link.transport.local_end, self.subscriptions.planned(), data_mid=_DATA_MID))

    async def take_answer(self, text: str) -> None:
        """Takes the answer to such an offer.

        :raises SdpError: it cannot be used.
        """
        answered = sdp.parse(text)
        await self._use(self._subscriber, answered, has_data=True)
        self.subscriptions.use_codecs(answered)

    async def add_candidate(self, candidate_init: str, *, for_subscriber: bool) -> None:
        """Takes an address of the client's, as its ``RTCIceCandidateInit`` in JSON; what is none is passed over."""
        link = self._subscriber if for_subscriber else self._publisher
        candidate = _candidate(candidate_init)
        if not candidate:
            return
        if link in self._gathered:
            await link.transport.add_candidate(candidate)
        elif len(self._early[link]) < sdp.SECTIONS_MAX:
            self._early[link].append(candidate)

    async def close(self) -> None:
        """Ends all connections. Calling it twice is fine."""
        for link in {self._publisher, self._subscriber}:
            await link.close()

    async def _use(self, link: Link, description: sdp.Description, *, has_data: bool) -> None:
        remote = remote_end(description)
        await self._gather(link)
        await link.transport.use(remote, has_data=has_data)
        early, self._early[link] = self._early[link], []
        for candidate in early:
            await link.transport.add_candidate(candidate)

    async def _gather(self, link: Link) -> None:
        if link not in self._gathered:
            await link.transport.gather()
            self._gathered.add(link)

    def _render(self, description: sdp.Description) -> str:
        self._version += 1
        return sdp.render(description, session_id=self._session_id, version=self._version)

    def _on_state(self, state: str, *, is_primary: bool) -> None:
        if state == "failed":
            self._on_failed()
        elif is_primary:
            self._on_connected()


def _candidate(candidate_init: str) -> str:
    """The candidate without its ``candidate:``; empty where there is none, as at the end of candidates."""
    try:
        text = msgspec.json.decode(candidate_init, type=_CandidateInit).candidate
    except msgspec.MsgspecError:
        return ""
    return text.removeprefix("candidate:").strip()


class _CandidateInit(msgspec.Struct):
    candidate: str = ""
