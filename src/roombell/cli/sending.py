"""Sends events to a URL one after another, and watches a development service deliver them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from roombell.cli.http_client import Reply, fetch
from roombell.config import Keys
from roombell.engine.model import Answered, Delivery, EndpointId, LaneId, Outcome
from roombell.engine.model import Sequence as Place
from roombell.engine.ports import AttemptRequest
from roombell.events import WebhookEvent
from roombell.service.dev import DELIVERIES_PATH
from roombell.service.dev_page import Shown
from roombell.signing import KeyRing
from roombell.transport.http import HttpTransport
from roombell.transport.target import HttpTarget
from roombell.transport.url import parse_url
from roombell.wiring import SystemClock

INGEST_PATH: Final = "/webhook"
POLL_INTERVAL_S: Final = 0.1
POLL_TIMEOUT_S: Final = 5.0
_TARGET: Final = EndpointId(1)
_SAID_CHARS_MAX: Final = 200
_TOKEN: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")


class Answer(msgspec.Struct, frozen=True):
    """What came back for one event."""

    status: int
    """0 where no answer came."""
    duplicate: bool | None
    """None where the answer is not Roombell's."""
    duration_ms: int
    message: str
    """Why it was not accepted, in the answer's words or ours."""

    @property
    def accepted(self) -> bool:
        """Whether it was taken."""
        return 200 <= self.status < 300  # noqa: PLR2004


class _Said(msgspec.Struct):
    id: str | None = None
    duplicate: bool | None = None
    message: str | None = None


class Sender:
    """Signs and posts events to one URL, as Roombell delivers: with the same headers, numbered in lanes.

    :param run: makes the lanes' names this run's own.
    :raises UsageError: the URL cannot be posted to.
    """

    def __init__(self, url: str, keys: Keys, run: str) -> None:
        target = HttpTarget(name="target", url=url, api_key=next(iter(keys)), connections_max=1)
        self._clock = SystemClock()
        self._transport = HttpTransport({_TARGET: target}, keys=KeyRing(keys), clock=self._clock)
        self._run = run
        self._lanes: dict[str, LaneId] = {}
        self._sequences: dict[str, int] = {}

    async def send(self, event: WebhookEvent) -> Answer:
        """One attempt; whatever happens is the answer."""
        key = event.ordering_key
        lane_id = self._lanes.setdefault(key, LaneId(len(self._lanes) + 1))
        sequence = self._sequences[key] = self._sequences.get(key, 0) + 1
        now_ms = self._clock.now_ms()
        delivery = Delivery(lane_id, Place(sequence), event.id, event.type, now_ms, 0, event.raw)
        request = AttemptRequest(_TARGET, delivery, attempt=1, lane_name=f"{self._run}-{lane_id}")
        return _answer(await self._transport.send(request))

    async def close(self) -> None:
        """Closes the connection."""
        await self._transport.close()


class DevService:
    """What a service in ``--dev`` tells of its deliveries. ``url`` is where events are sent."""

    def __init__(self, url: str) -> None:
        parsed = parse_url(url)
        self._url = f"{parsed.origin}{DELIVERIES_PATH}" if parsed.target == INGEST_PATH else ""

    async def deliveries(self) -> tuple[Shown, ...] | None:
        """The last deliveries, oldest first; None if it is no such service or does not answer."""
        if not self._url:
            return None
        reply = await asyncio.to_thread(fetch, "GET", self._url, timeout_s=POLL_TIMEOUT_S)
        if not isinstance(reply, Reply) or reply.status != 200:  # noqa: PLR2004
            return None
        try:
            told = msgspec.json.decode(reply.body, type=_Deliveries)
        except msgspec.MsgspecError:
            return None
        return told.deliveries[::-1]


class Arrivals:
    """Collects the deliveries of the events that were sent, each once, in the order in which they arrived."""

    def __init__(self) -> None:
        self.arrived: list[Shown] = []
        self._seen: set[str] = set()

    def take(self, deliveries: Sequence[Shown], wanted: set[str]) -> None:
        """Adds what is new among ``deliveries``."""
        for one in deliveries:
            if one.verified and one.event_id in wanted and one.event_id not in self._seen:
                self._seen.add(one.event_id)
                self.arrived.append(one)

    def in_order(self, sent: Sequence[WebhookEvent]) -> bool:
        """Whether in each lane the events arrived in the order in which they were sent."""
        place = {event.id: number for number, event in enumerate(sent)}
        last: dict[str, int] = {}
        for one in self.arrived:
            number = place[one.event_id]
            if last.get(one.lane, -1) > number:
                return False
            last[one.lane] = number
        return True


class _Deliveries(msgspec.Struct):
    deliveries: tuple[Shown, ...]


def _answer(outcome: Outcome) -> Answer:
    if not isinstance(outcome, Answered):
        return Answer(0, None, outcome.duration_ms, outcome.detail)
    try:
        said = msgspec.json.decode(outcome.excerpt, type=_Said)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = _Said(message=outcome.excerpt.decode(errors="replace"))
    is_ours = said.id is not None and said.duplicate is not None
    answer = Answer(outcome.status, said.duplicate if is_ours else None, outcome.duration_ms, "")
    if answer.accepted:
        return answer
    return msgspec.structs.replace(answer, message=_short(said.message or ""))


def _short(text: str) -> str:
    """A line of it, without our token, which a debugging endpoint may repeat."""
    line = _TOKEN.sub("[hidden]", " ".join(text.split()))
    return line if len(line) <= _SAID_CHARS_MAX else line[: _SAID_CHARS_MAX - 1] + "…"
