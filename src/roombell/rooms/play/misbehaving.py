"""What a server makes of its own events when it misbehaves: it loses, delays, repeats or mistakes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from roombell.events import EventBuilder, WebhookEvent
from roombell.rooms.effects import Happened
from roombell.rooms.play.scenario import Misbehaviour, Trick


class Misbehaving:
    """The tricks of one run, and how often each is still to be played."""

    def __init__(self, misbehaviours: tuple[Misbehaviour, ...], token_bytes: Callable[[int], bytes]) -> None:
        self._left = {number: one.times for number, one in enumerate(misbehaviours)}
        self._misbehaviours = misbehaviours
        self._now_ms = 0
        self._builder = EventBuilder(now=lambda: self._now_ms / 1000, token_bytes=token_bytes)

    def told(self, happened: Happened, now_ms: int) -> Iterator[tuple[int, Happened]]:
        """What is told of it, and when; the first trick that fits is played."""
        trick = self._fitting(happened.event)
        if trick is None:
            yield now_ms, happened
            return
        match trick.trick:
            case Trick.LOSE:
                pass
            case Trick.HOLD:
                yield now_ms + trick.delay_ms, happened
            case Trick.REPEAT:
                yield now_ms, happened
                later_ms = now_ms + trick.delay_ms
                yield later_ms, self._another(happened, happened.event.type, later_ms)
            case Trick.TURN:
                yield now_ms, self._another(happened, trick.into, now_ms)

    def _fitting(self, event: WebhookEvent) -> Misbehaviour | None:
        for number, one in enumerate(self._misbehaviours):
            fits = one.event_type == event.type and one.of in ("", event.participant_identity)
            if fits and self._left[number]:
                self._left[number] -= 1
                return one
        return None

    def _another(self, happened: Happened, event_type: str, now_ms: int) -> Happened:
        """The same, under an id and a time of its own."""
        message = happened.event.message
        message.event, message.id, message.created_at = event_type, "", 0
        self._now_ms = now_ms
        return Happened(self._builder.from_message(message), happened.webhooks)
