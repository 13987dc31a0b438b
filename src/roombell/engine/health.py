"""Whether an endpoint is up, and how much it can take. Pure: what an attempt showed goes in, a new state comes out.

Two questions are kept apart. *Is it down?* A breaker opens when attempts fail in a way that no event can be blamed
for. While it is open nothing is sent but one probe at a time, and no delivery uses up attempts; only age abandons
anything. *How much can it take?* A limit on attempts in flight rises while answers come as fast as they did before,
and falls when they do not. A breaker that closes starts with a limit of one, so that a backlog of two hours meets an
endpoint that has just come up no faster than the endpoint shows it can bear.

Blame. A refused connection says nothing about the event; a 422 says nothing about the endpoint. In between stand 500
and connections that break in the middle: the endpoint may be down, or this one event may crash it. So those count
towards opening only when several lanes see them and none sees a success.

The limit is TCP's: doubling per round trip until the first loss (slow start), then one more per round trip, and a cut
when latency says that a queue builds up. Vegas-like limits (Netflix' concurrency-limits) are the prior art; their
gradient was left out, since the latency of webhooks is dominated by what each event makes the application do.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, assert_never

import msgspec

from roombell.engine.answers import Evidence
from roombell.engine.model import LaneId

FAILURES_TO_OPEN: Final = 5
"""Failures in a row, with no success in between, that open the breaker when an event might be to blame."""
HARD_FAILURES_TO_OPEN: Final = 3
"""The same, when no event can be to blame."""
LANES_TO_OPEN: Final = 2
"""How many lanes must have seen the failures that an event might be to blame for."""
PROBE_DELAY_MS: Final = 1_000
PROBE_DELAY_MS_MAX: Final = 60_000
LIMIT_AT_START: Final = 16.0
LIMIT_AFTER_OUTAGE: Final = 1.0
SLOW_FACTOR: Final = 3.0
SLOW_SLACK_MS: Final = 50.0
"""An answer is slow when it takes more than ``SLOW_FACTOR`` times the usual and this on top."""
_CUT_BUSY: Final = 0.5
_CUT_SLOW: Final = 0.8
_USUAL_SHARE_RISING: Final = 0.002
_USUAL_SHARE_FALLING: Final = 0.3


class Condition(StrEnum):
    """The breaker."""

    CLOSED = "closed"
    OPEN = "open"


class Health(msgspec.Struct, frozen=True):
    """What is known of an endpoint. ``encode`` and ``decode`` carry it over restarts."""

    condition: Condition = Condition.CLOSED
    failures: int = 0
    """Failures in a row."""
    hard_failures: int = 0
    """Those of them for which no event can be to blame."""
    lanes: tuple[LaneId, ...] = ()
    """Up to ``LANES_TO_OPEN`` lanes that saw them."""
    opened_at_ms: int = 0
    probe_at_ms: int = 0
    """While open: when the next probe may go out."""
    probes: int = 0
    """While open: probes that have failed."""
    limit: float = LIMIT_AT_START
    """How many attempts it can take at once, as far as it has shown."""
    growing: bool = True
    """Whether the limit doubles per round trip (slow start) or rises by one."""
    usual_ms: float = 0.0
    """How long an answer usually takes; 0 until there was one."""
    cut_at_ms: int = 0

    @property
    def is_open(self) -> bool:
        return self.condition is Condition.OPEN


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """What the health needs to know of an attempt that has ended."""

    evidence: Evidence
    lane_id: LaneId
    latency_ms: int
    in_flight: int
    """Attempts of the endpoint under way, this one included."""
    probe: bool


def after(health: Health, attempt: Attempt, *, limit_max: int, now_ms: int, draw: float) -> Health:
    """The health after an attempt.

    :param limit_max: the endpoint's ``concurrency``: no limit rises above it.
    :param draw: a number drawn evenly from [0, 1); it spreads probes.
    """
    match attempt.evidence:
        case Evidence.NOTHING:
            return _still_open(health, now_ms, draw) if health.is_open and attempt.probe else health
        case Evidence.UP | Evidence.BUSY if health.is_open:
            return _closed(health)
        case Evidence.UP:
            return _grown(health, attempt, limit_max, now_ms)
        case Evidence.BUSY:
            cut = _cut(health, _CUT_BUSY, now_ms)
            return msgspec.structs.replace(cut, failures=0, hard_failures=0, lanes=())
        case Evidence.FALTERING | Evidence.DOWN if health.is_open:
            return _still_open(health, now_ms, draw) if attempt.probe else health
        case Evidence.FALTERING | Evidence.DOWN:
            return _failed(health, attempt, now_ms, draw)
    assert_never(attempt.evidence)


def slots(health: Health, limit_max: int) -> int:
    """How many attempts may be in flight while the breaker is closed: at least 1."""
    return max(1, min(limit_max, int(health.limit)))


def probe_delay_ms(probes: int, draw: float) -> int:
    """How long after the ``probes``-th failed probe the next one waits: doubling, half of it drawn."""
    cap = min(PROBE_DELAY_MS_MAX, PROBE_DELAY_MS * float(2 ** min(probes, 16)))
    return round(cap * (1.0 - draw / 2))


def encode(health: Health) -> bytes:
    """What a store keeps."""
    return msgspec.json.encode(health)


def decode(kept: bytes) -> Health:
    """What ``encode`` made; a fresh health for anything else, since an unreadable one must not stop deliveries."""
    try:
        return msgspec.json.decode(kept, type=Health)
    except msgspec.MsgspecError:
        return Health()


def _closed(health: Health) -> Health:
    return Health(limit=LIMIT_AFTER_OUTAGE, usual_ms=health.usual_ms)


def _still_open(health: Health, now_ms: int, draw: float) -> Health:
    probes = health.probes + 1
    return msgspec.structs.replace(health, probes=probes, probe_at_ms=now_ms + probe_delay_ms(probes, draw))


def _failed(health: Health, attempt: Attempt, now_ms: int, draw: float) -> Health:
    hard = health.hard_failures + (attempt.evidence is Evidence.DOWN)
    lanes = health.lanes
    if attempt.lane_id not in lanes and len(lanes) < LANES_TO_OPEN:
        lanes = (*lanes, attempt.lane_id)
    failed = msgspec.structs.replace(
        _cut(health, _CUT_BUSY, now_ms), failures=health.failures + 1, hard_failures=hard, lanes=lanes
    )
    many = failed.failures >= FAILURES_TO_OPEN and len(lanes) >= LANES_TO_OPEN
    if not many and hard < HARD_FAILURES_TO_OPEN:
        return failed
    return msgspec.structs.replace(
        failed, condition=Condition.OPEN, opened_at_ms=now_ms, probes=0, probe_at_ms=now_ms + probe_delay_ms(0, draw)
    )


def _grown(health: Health, attempt: Attempt, limit_max: int, now_ms: int) -> Health:
    usual_ms = _usual(health.usual_ms, attempt.latency_ms)
    if health.usual_ms and attempt.latency_ms > SLOW_FACTOR * health.usual_ms + SLOW_SLACK_MS:
        slower = _cut(health, _CUT_SLOW, now_ms)
        return msgspec.structs.replace(slower, failures=0, hard_failures=0, lanes=(), usual_ms=usual_ms)
    limit = health.limit
    if attempt.in_flight >= limit / 2:  # a limit that is not used has shown nothing
        limit = min(float(limit_max), limit + (1.0 if health.growing else 1.0 / limit))
    return Health(limit=limit, growing=health.growing, usual_ms=usual_ms, cut_at_ms=health.cut_at_ms)


def _cut(health: Health, factor: float, now_ms: int) -> Health:
    """Lowers the limit, once per round trip: all answers of one trip tell of the same queue."""
    if now_ms - health.cut_at_ms < max(health.usual_ms, 1.0):
        return health
    return msgspec.structs.replace(health, limit=max(1.0, health.limit * factor), growing=False, cut_at_ms=now_ms)


def _usual(usual_ms: float, latency_ms: float) -> float:
    """Follows faster answers at once and slower ones slowly, or a queue that builds up would become the usual."""
    if not usual_ms:
        return max(1.0, latency_ms)
    share = _USUAL_SHARE_FALLING if latency_ms < usual_ms else _USUAL_SHARE_RISING
    return max(1.0, usual_ms + share * (latency_ms - usual_ms))
