"""All the sessions of a server, and what they share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from aiortc import RTCCertificate
from livekit.protocol import models, rtc

from roombell.rooms.hub import Hub
from roombell.rooms.media.forwarding import Source
from roombell.signing import KeyRing

if TYPE_CHECKING:
    from roombell.rooms.signalling.session import Session

SERVER_VERSION: Final = "1.9.0"
"""What LiveKit server is played: clients choose by it what they may ask for."""

PROTOCOL: Final = 16


class SignalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The times of signalling, at LiveKit's defaults."""

    ping_interval_s: int = 5
    """How often clients send a ping."""
    ping_timeout_s: int = 15
    """Without any message for so long, a socket is taken for lost."""
    resume_timeout_s: float = 10.0
    """How long a participant whose socket or media connection is lost may take to come back."""
    token_interval_s: float = 300.0
    """How often a participant is given a fresh token."""


class Sessions:
    """Who is connected, by participant sid, and the media there is, by track sid.

    :param addresses: this machine's, for media.
    """

    def __init__(self, hub: Hub, keys: KeyRing, addresses: Sequence[str], settings: SignalSettings) -> None:
        self.hub = hub
        self.keys = keys
        self.addresses = addresses
        self.settings = settings
        self.certificate = RTCCertificate.generateCertificate()
        self.by_sid: dict[str, Session] = {}
        self.sources: dict[str, Source] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def now_s(self) -> float:
        return self.hub.clock.now_ms() / 1000

    def in_room(self, name: str) -> Iterator[Session]:
        return (session for session in tuple(self.by_sid.values()) if session.room == name)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Has something end in its own time; ``drained`` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def is_allowed(self, subscriber: Session, publisher_sid: str, track_sid: str) -> bool:
        """Whether the publisher lets the subscriber have the track."""
        publisher = self.by_sid.get(publisher_sid)
        return publisher is None or publisher.lets(subscriber.sid, subscriber.identity, track_sid)

    async def drained(self) -> None:
        """Returns when everything has ended that ``spawn`` was given."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


def server_info() -> models.ServerInfo:
    return models.ServerInfo(
        edition=models.ServerInfo.Standard, version=SERVER_VERSION, protocol=PROTOCOL, node_id="ND_roombell"
    )


def reconnect_instead() -> rtc.SignalResponse:
    """What a client is told that wants to come back to something that is no longer there."""
    leave = rtc.LeaveRequest(action=rtc.LeaveRequest.RECONNECT, reason=models.STATE_MISMATCH, can_reconnect=True)
    return rtc.SignalResponse(leave=leave)
