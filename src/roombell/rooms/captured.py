"""The webhooks of a room server in a test: kept, waited for, and ready to be handed to an application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Condition
from typing import Final

import msgspec

from roombell.errors import RoombellError
from roombell.events import WebhookEvent
from roombell.signing import KeyRing

WAIT_TIMEOUT_S: Final = 10.0
KEPT_MAX: Final = 100_000
"""How many webhooks are kept; beyond it the oldest are forgotten."""

_TOLD_MAX: Final = 50


class NotCaptured(RoombellError, AssertionError):
    """The webhook that was waited for did not come; the message tells what did."""

    code = "not_captured"


class Webhook(msgspec.Struct, frozen=True):
    """One webhook: what happened, and what LiveKit would send of it."""

    event: WebhookEvent
    """The official message is ``event.message``."""
    authorization: str
    """The value of the ``Authorization`` header; it is good for five minutes."""

    @property
    def body(self) -> bytes:
        """What the signature is for: to be sent as it is."""
        return self.event.raw

    @property
    def type(self) -> str:
        return self.event.type

    @property
    def headers(self) -> dict[str, str]:
        """Those of LiveKit's request."""
        return {"Authorization": self.authorization, "Content-Type": "application/webhook+json"}

    def __repr__(self) -> str:
        return f"<Webhook {self.event!r}>"


class Webhooks:
    """What a room server has sent so far, in order. Safe to use from any thread."""

    def __init__(self, keys: KeyRing, now_s: Callable[[], float]) -> None:
        self._keys = keys
        self._now_s = now_s
        self._changed = Condition()
        self._all: list[Webhook] = []

    @property
    def all(self) -> tuple[Webhook, ...]:
        """Every webhook since the start, or since ``clear``."""
        with self._changed:
            return tuple(self._all)

    @property
    def types(self) -> tuple[str, ...]:
        """The event types, in order."""
        return tuple(webhook.type for webhook in self.all)

    def clear(self) -> None:
        """Forgets what has come."""
        with self._changed:
            self._all.clear()

    def wait_for(
        self, event: str, *, room: str = "", identity: str = "", count: int = 1, timeout_s: float = WAIT_TIMEOUT_S
    ) -> Webhook:
        """The ``count``-th webhook of that type, room and participant, among those that came and those to come.

        Blocks; in a coroutine use ``arrival``.

        :param room: the room's name; empty: any.
        :param identity: the participant's; empty: anybody's, or nobody's.
        :raises NotCaptured: it did not come in time.
        """

        def found() -> Webhook | None:
            fitting = [one for one in self._all if _fits(one.event, event, room, identity)]
            return fitting[count - 1] if len(fitting) >= count else None

        with self._changed:
            webhook = self._changed.wait_for(found, timeout_s)
            if webhook is None:
                raise NotCaptured(self._missing(event, room, identity, count, timeout_s))
            return webhook

    async def arrival(
        self, event: str, *, room: str = "", identity: str = "", count: int = 1, timeout_s: float = WAIT_TIMEOUT_S
    ) -> Webhook:
        """``wait_for`` without blocking the event loop."""
        return await asyncio.to_thread(
            self.wait_for, event, room=room, identity=identity, count=count, timeout_s=timeout_s
        )

    def take(self, event: WebhookEvent) -> None:
        """Keeps one more, signed as LiveKit signs."""
        signed = self._keys.sign(event.raw, api_key=self._keys.api_keys[0], now=self._now_s())
        with self._changed:
            self._all.append(Webhook(event, signed))
            del self._all[:-KEPT_MAX]
            self._changed.notify_all()

    def _missing(self, event: str, room: str, identity: str, count: int, timeout_s: float) -> str:
        wanted = " ".join(word for word in (event, room and f"in {room}", identity and f"of {identity}") if word)
        told = ", ".join(f"{one.type} {one.event.participant_identity}".strip() for one in self._all[-_TOLD_MAX:])
        number = "No" if count == 1 else f"No {count} times"
        return f"{number} {wanted} within {timeout_s:g} s. What came: {told or 'nothing'}."


def _fits(event: WebhookEvent, kind: str, room: str, identity: str) -> bool:
    is_meant = event.type == kind and (not room or event.room_name == room)
    return is_meant and (not identity or event.participant_identity == identity)
