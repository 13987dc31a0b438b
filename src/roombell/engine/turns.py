"""A lane that is held, and an endpoint's share of what is held. Pure values that ``lanes`` moves about."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final

from roombell.engine.health import Health, slots
from roombell.engine.model import WHOLE, Delivery, EndpointId, Generation, LaneId, Part
from roombell.engine.router import EndpointPolicy

LANES_PER_SLOT: Final = 8
"""Lanes an endpoint may hold for each attempt it may have in flight."""
LANES_MIN: Final = 64
BEHIND_S: Final = 10
"""What an endpoint could take within this time and has not got makes Roombell late; what is beyond it, the endpoint."""


class LaneState(Enum):
    """What a held lane is doing."""

    READY = auto()
    IN_FLIGHT = auto()
    SETTLING = auto()
    PAGING = auto()
    DROPPED = auto()


class Lane:
    """A leased lane in memory: its heads, oldest first."""

    __slots__ = ("expires_at_ms", "generation", "heads", "key", "lane_id", "last_sequence", "probe", "state", "turn")

    def __init__(
        self, lane_id: LaneId, generation: Generation, key: str, turn: EndpointTurn, expires_at_ms: int
    ) -> None:
        self.lane_id, self.generation, self.key, self.turn = lane_id, generation, key, turn
        self.expires_at_ms = expires_at_ms
        self.heads: list[Delivery] = []
        self.last_sequence = 0
        self.probe = False
        """Whether what is in flight tests an endpoint that is down."""
        self.state = LaneState.SETTLING


class Bucket:
    """A token bucket: as many attempts at once as a second's worth, then at the rate. No rate: no bound."""

    __slots__ = ("_at_ms", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float | None, *, full: bool = True) -> None:
        self._rate_per_s = rate_per_s
        self._tokens = max(1.0, rate_per_s or 0.0) if full else 0.0
        self._at_ms: int | None = None

    def has_one(self, now_ms: int) -> bool:
        """Whether an attempt may begin now."""
        if self._rate_per_s is None:
            return True
        passed_s = max(0, now_ms - (now_ms if self._at_ms is None else self._at_ms)) / 1000
        self._at_ms = now_ms
        self._tokens = min(max(1.0, self._rate_per_s), self._tokens + passed_s * self._rate_per_s)
        return self._tokens >= 1.0

    def take(self) -> None:
        """An attempt begins."""
        if self._rate_per_s is not None:
            self._tokens -= 1.0

    @property
    def wait_s(self) -> float:
        """In how many seconds the next attempt may begin, as seen at the last ``has_one``."""
        return 0.0 if self._rate_per_s is None else max(0.0, 1.0 - self._tokens) / self._rate_per_s


class EndpointTurn:
    """One endpoint's share: how much it has in flight, and which of its lanes are ready."""

    __slots__ = (
        "active",
        "bucket",
        "health",
        "held",
        "in_flight",
        "lanes",
        "lanes_max",
        "next_due_at_ms",
        "part",
        "policy",
        "poll_at_ms",
        "probing",
        "queued",
        "ready",
        "starved",
    )

    def __init__(self, policy: EndpointPolicy, health: Health, part: Part | None = WHOLE) -> None:
        self.policy = policy
        self.health = health
        self.part = part
        """This worker's among those that deliver to the endpoint; None while it has none."""
        self.bucket = Bucket(self._rate_per_s)
        self.probing = False
        """While the breaker is open: whether a probe may go out now."""
        self.active = True
        self.in_flight = 0
        self.held = 0
        """Deliveries in memory."""
        self.lanes = 0
        self.lanes_max = max(LANES_MIN, policy.concurrency * LANES_PER_SLOT)
        self.ready: deque[Lane] = deque()
        self.queued = False
        self.starved = 0
        """Deliveries known to wait in the store, due and without a lease."""
        self.poll_at_ms = 0
        self.next_due_at_ms: int | None = 0

    @property
    def endpoint_id(self) -> EndpointId:
        return self.policy.endpoint_id

    @property
    def room(self) -> int:
        """How many more lanes it may hold."""
        if not self.active or not self.concurrency:
            return 0
        if self.health.is_open:
            return int(self.probing and not self.lanes)
        return max(0, self.lanes_max - self.lanes)

    @property
    def may_send(self) -> bool:
        """Whether anything may be sent to it now, be it a probe."""
        return self.active and self.concurrency > 0 and (self.probing or not self.health.is_open)

    @property
    def may_probe(self) -> bool:
        """Whether it is this worker that tests the endpoint while it is down."""
        return self.part is not None and self.part.leads

    @property
    def concurrency(self) -> int:
        """This worker's share of the attempts that the endpoint may have in flight."""
        return 0 if self.part is None else self.part.of(self.policy.concurrency)

    @property
    def slots(self) -> int:
        """How many attempts it may have in flight."""
        if self.health.is_open or not self.concurrency:
            return int(self.probing and self.concurrency > 0)
        return slots(self.health, self.concurrency) if self.policy.adaptive else self.concurrency

    @property
    def behind(self) -> int:
        """Deliveries that are due and not under way, as far as the endpoint could take them in ``BEHIND_S`` seconds.

        Its ``concurrency`` counts, not its limit: a busy process makes every answer look slow, and cuts that.
        """
        usual_ms = self.health.usual_ms
        if not self.may_send or not usual_ms:
            return 0
        takes = self.concurrency * BEHIND_S * 1000 / usual_ms
        rate = self._rate_per_s
        bound = takes if rate is None else min(takes, rate * BEHIND_S)
        return min(max(0, self.held - self.in_flight) + self.starved, int(bound))

    def due_at(self, due_at_ms: int) -> bool:
        """Remembers that one of its lanes in the store is due then. Whether that is sooner than all known."""
        sooner = self.next_due_at_ms is None or due_at_ms < self.next_due_at_ms
        if sooner:
            self.next_due_at_ms = due_at_ms
        return sooner

    def reconfigure(self, policy: EndpointPolicy) -> None:
        """Takes over new settings, and sends again if it had stopped."""
        before, self.policy = self._rate_per_s, policy
        if self._rate_per_s != before:
            self.bucket = Bucket(self._rate_per_s)
        self.active = True
        self.lanes_max = max(LANES_MIN, policy.concurrency * LANES_PER_SLOT)

    def take_part(self, part: Part | None) -> None:
        """Takes another share of the endpoint's limits from now on."""
        before, self.part = self._rate_per_s, part
        if self._rate_per_s != before:
            self.bucket = Bucket(self._rate_per_s, full=False)
        if not self.may_probe:
            self.probing = False

    @property
    def _rate_per_s(self) -> float | None:
        rate = self.policy.rate_limit_per_s
        return rate if rate is None or self.part is None else rate / self.part.workers
