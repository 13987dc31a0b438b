"""When a session's description is renewed. Changes that come while one is under way are put together into the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from livekit.protocol import rtc

from roombell.rooms.media.peer import Peer

ANSWER_TIMEOUT_S: Final = 10.0
"""How long a client may take to answer an offer."""

_log: Final = logging.getLogger("roombell.rooms.signalling")

Send = Callable[[rtc.SignalResponse], None]


class Negotiator(Protocol):
    """Sees to it that what the participant is to get is agreed on with its client."""

    def changed(self) -> None:
        """The participant is to get something else than was agreed on."""

    def settled(self) -> None:
        """The client has answered, or offered and was answered."""

    def restart(self) -> None:
        """The client came back; what was under way is lost."""

    def close(self) -> None:
        """Nothing more is negotiated."""


class Asking(Negotiator):
    """With one connection, only the client can offer: it is asked to, and told which sections it lacks."""

    def __init__(self, peer: Peer, send: Send) -> None:
        self._peer = peer
        self._send = send
        self._is_asked = False
        self._is_changed = False
        self._is_open = False

    def open(self) -> None:
        """The client is connected: from now on it can be asked."""
        self._is_open = True
        self._ask()

    def changed(self) -> None:
        self._is_changed = True
        self._ask()

    def settled(self) -> None:
        self._is_asked = False
        self._is_changed |= not self._peer.subscriptions.are_placed
        self._ask()

    def restart(self) -> None:
        self._is_asked = False
        self._ask()

    def close(self) -> None:
        self._is_open = False

    def _ask(self) -> None:
        if not self._is_open or self._is_asked or not self._is_changed:
            return
        self._is_asked, self._is_changed = True, False
        subscriptions = self._peer.subscriptions
        need = rtc.MediaSectionsRequirement(
            num_audios=subscriptions.missing("audio"), num_videos=subscriptions.missing("video")
        )
        self._send(rtc.SignalResponse(media_sections_requirement=need))


class Offering(Negotiator):
    """With two connections, what the participant gets is offered to its client."""

    def __init__(self, peer: Peer, send: Send) -> None:
        self._peer = peer
        self._send = send
        self._wanted = asyncio.Event()
        self._answered = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="rooms-offers")

    def changed(self) -> None:
        self._wanted.set()

    def settled(self) -> None:
        self._answered.set()

    def restart(self) -> None:
        self._wanted.set()
        self._answered.set()

    def close(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._answered.clear()
            try:
                text = await self._peer.make_offer()
                self._send(rtc.SignalResponse(offer=rtc.SessionDescription(type="offer", sdp=text)))
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    await self._answered.wait()
            except TimeoutError:
                _log.warning("A client did not answer an offer within %g s.", ANSWER_TIMEOUT_S)
            except OSError as error:
                _log.error("No offer could be made to a client: %s", error)
