"""What the development page shows as it happens: each event, and what became of its deliveries."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

import msgspec

from roombell.engine.hooks import AttemptFinished, EventAccepted, Record
from roombell.errors import EventError
from roombell.events import parse
from roombell.service.messages import Request, Response, json_response

LIVE_PATH: Final = "/dev/live"

EVENTS_MAX: Final = 500
WAIT_S: Final = 20.0
"""How long a request waits for something new."""

_TEXT_CHARS_MAX: Final = 200


class LiveDelivery(msgspec.Struct, frozen=True):
    """What is known of an event's delivery to one endpoint."""

    state: str
    """``delivered``, ``retry``, ``dead`` or ``disable``: what followed from the last attempt."""
    attempt: int
    status: int
    detail: str
    took_ms: int
    """From the event's acceptance to the end of the last attempt."""


class LiveEvent(msgspec.Struct):
    """An event as the page shows it. Nothing of its body is in it but names and ids."""

    version: int
    """Grows with every change; the newest change of all has the highest."""
    id: str
    event: str
    at_ms: int
    owed: int
    """To how many endpoints."""
    room: str = ""
    participant: str = ""
    resource: str = ""
    """The id of a track, an egress or an ingress."""
    deliveries: dict[str, LiveDelivery] = {}
    """By endpoint."""


class LiveFeed:
    """Remembers the last events, and has whoever asks wait for the next. Its ``observe`` is an engine hook."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, LiveEvent] = OrderedDict()
        self._version = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._is_closed = False

    def observe(self, record: Record) -> None:
        if isinstance(record, EventAccepted) and not record.duplicate:
            at_ms, owed = record.accepted_at_ms, record.deliveries
            event = self._of(record.event_id, record.event_type, at_ms)
            event.owed = owed
            self._changed(event)
        elif isinstance(record, AttemptFinished):
            self._attempted(record)

    async def handle(self, request: Request) -> Response:
        """``GET /dev/live?after=VERSION``: what changed since, oldest change first; waits while nothing did."""
        after = _after(parse_qs(request.query))
        if after >= self._version and not self._is_closed:
            await self._change()
        changed = sorted((one for one in self._events.values() if one.version > after), key=lambda one: one.version)
        return json_response({"version": self._version, "events": changed})

    def close(self) -> None:
        """Answers whoever waits, and lets nobody wait any more."""
        self._is_closed = True
        self._wake()

    def _attempted(self, record: AttemptFinished) -> None:
        delivery, attempt = record.delivery, record.attempt
        event = self._of(delivery.event_id, delivery.event_type, delivery.accepted_at_ms)
        if not event.room and not event.resource:
            _describe(event, delivery.body)
        event.deliveries[record.endpoint] = LiveDelivery(
            record.decision, attempt.number, attempt.status, _short(attempt.detail), record.latency_ms
        )
        self._changed(event)

    def _of(self, event_id: str, event_type: str, at_ms: int) -> LiveEvent:
        """Attempts may be told of before the acceptance is."""
        if event_id not in self._events:
            self._events[event_id] = LiveEvent(0, _short(event_id), _short(event_type), at_ms, 0)
            if len(self._events) > EVENTS_MAX:
                self._events.popitem(last=False)
        return self._events[event_id]

    def _changed(self, event: LiveEvent) -> None:
        self._version += 1
        event.version = self._version
        self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def _change(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            async with asyncio.timeout(WAIT_S):
                await waiting
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(waiting)


def _describe(event: LiveEvent, body: bytes) -> None:
    try:
        parsed = parse(body)
    except EventError:  # it was accepted, so that only a store of another version has such
        return
    event.room, event.participant = _short(parsed.room_name), _short(parsed.participant_identity)
    event.resource = _short(parsed.track_sid or parsed.egress_id or parsed.ingress_id)


def _after(query: Mapping[str, list[str]]) -> int:
    text = query.get("after", ["0"])[0]
    return int(text) if text.isascii() and text.isdecimal() and len(text) < len(str(2**53)) else 0


def _short(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS_MAX else text[: _TEXT_CHARS_MAX - 1] + "…"
