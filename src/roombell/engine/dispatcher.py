"""Delivery: hold leases on lanes, send each lane's head, write down what became of it, go on.

The life of a lane here::

    store --acquire/placed--> READY --turn--> IN_FLIGHT --outcome--> SETTLING --committed--> READY, PAGING or gone

A lane has at most one attempt in flight, and the next one starts only after the last one's result is on disk: what
may be repeated after a crash is what was in flight, and nothing else.

The loop's step fetches lanes from the store for the endpoints that have room and something due. Fresh events need
none: an idle lane is leased by the very commit that stores its event (``grants``). Attempts and settles are never
waited for inside the step, so one endpoint's silence holds up nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from random import Random
from typing import Final

from roombell.engine.attempts import Attempts
from roombell.engine.committer import Committer
from roombell.engine.health import Health, decode
from roombell.engine.hooks import EndpointDisabled, EndpointFailing, EndpointRecovered, Hooks, LeaseLost
from roombell.engine.lanes import HEADS_MAX, HeldLanes, HeldLimits
from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.model import (
    NO_LEASE,
    WHOLE,
    Accept,
    Accepted,
    DeliveryState,
    EndpointId,
    Grant,
    LeasedLane,
    Part,
    Release,
    Renew,
    Sequence,
    Settle,
    Settled,
)
from roombell.engine.notes import Notes
from roombell.engine.ports import Clock, Store, Transport
from roombell.engine.router import EndpointPolicy
from roombell.engine.schedule import allow_probe, next_look_s, worth_asking
from roombell.engine.settlement import fresh_delivery
from roombell.engine.turns import EndpointTurn, Lane, LaneState
from roombell.errors import StoreError, StoreUnavailable

POLL_S: Final = 5.0
"""How long work that nobody told us of can lie in the store: the bound behind a lost wake-up."""
LANES_PER_ACQUIRE_MAX: Final = 128
BODY_BYTES_PER_ACQUIRE_MAX: Final = 8 * 1024 * 1024
SETTLE_AGAIN_S: Final = 0.5


class Dispatcher(BackgroundLoop):
    """Delivers. Implements ``Placement`` for the committer it writes through."""

    def __init__(
        self,
        store: Store,
        transport: Transport,
        committer: Committer,
        clock: Clock,
        random: Random,
        hooks: Hooks,
        *,
        owner: str,
        lease_ms: int,
        limits: HeldLimits = HeldLimits(),
    ) -> None:
        super().__init__("dispatcher")
        self._store, self._committer = store, committer
        self._clock, self._hooks = clock, hooks
        self._owner, self._lease_ms = owner, lease_ms
        self._held = HeldLanes(limits)
        self._turns: dict[EndpointId, EndpointTurn] = {}
        self._attempts = Attempts(self._held, self, transport, committer, clock=clock, random=random, hooks=hooks)
        self._to_page: deque[Lane] = deque()
        self.notes = Notes(store, clock)
        self._part: Part | None = WHOLE
        self._draining = False
        self._renew_at_ms = 0
        self.progress = asyncio.Event()
        """Set at every settle; whoever waits for progress clears it first."""

    def start(self) -> None:
        self._attempts.store_id = self._store.store_id
        super().start()

    def configure(self, policies: Iterable[EndpointPolicy], healths: Mapping[EndpointId, bytes]) -> None:
        """Takes over the endpoints there are from now on. Lanes of those that went are released unsent.

        :param healths: what the store kept of each one's health; used for endpoints that are new here.
        """
        wanted = {policy.endpoint_id: policy for policy in policies}
        for endpoint_id in self._turns.keys() - wanted.keys():
            self._deactivate(self._turns.pop(endpoint_id))
        self._held.endpoints = max(1, len(wanted))
        for endpoint_id, policy in wanted.items():
            if (turn := self._turns.get(endpoint_id)) is not None:
                turn.reconfigure(policy)
            else:
                self._turns[endpoint_id] = EndpointTurn(policy, decode(healths.get(endpoint_id, b"")), self._part)
        self.wake()

    def pause(self, endpoint_id: EndpointId) -> None:
        """Sends the endpoint nothing more until ``resume``; what is in flight ends as it will."""
        if turn := self._turns.get(endpoint_id):
            self._deactivate(turn)

    def resume(self, endpoint_id: EndpointId) -> None:
        """Sends to the endpoint again."""
        if endpoint_id in self._turns:
            self._turns[endpoint_id].active = True
        self.look_again()

    def take_part(self, part: Part | None) -> None:
        """From now on this worker has that share of every endpoint's limits; None: it begins no attempt."""
        self._part = part
        for turn in self._turns.values():
            turn.take_part(part)
            if not turn.concurrency:
                turn.starved = 0
                self.hold_back(turn)
        self.look_again()

    @property
    def turns(self) -> Mapping[EndpointId, EndpointTurn]:
        """The endpoints as they stand with this worker."""
        return self._turns

    @property
    def behind(self) -> int:
        """Deliveries known to be due and not in flight."""
        return self._held.deliveries - self._held.in_flight + sum(turn.starved for turn in self._turns.values())

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return self._held.in_flight

    @property
    def held(self) -> int:
        """Deliveries in memory."""
        return self._held.deliveries

    def look_again(self) -> None:
        """Asks the store for every endpoint's lanes soon: some may have become free."""
        for turn in self._turns.values():
            turn.due_at(self._clock.now_ms())
        self.wake()

    async def drain_attempts(self, grace_s: float) -> None:
        """Starts no more attempts, waits up to ``grace_s`` for those under way, and gives every lane back."""
        self._draining = True
        await self._attempts.stop(grace_s)
        await self._committer.flush()
        for lane in self._held:
            self._release(lane, self._clock.now_ms())
        await self._committer.flush()

    def grants(self) -> tuple[Grant, ...]:
        if self._draining or self._held.full:
            return ()
        return tuple([Grant(id_, turn.room) for id_, turn in self._turns.items() if turn.room])

    def placed(self, accept: Accept, accepted: Accepted, expires_at_ms: int) -> None:
        for placed in accepted.placed:
            turn = self._turns.get(placed.endpoint_id)
            if turn is None or placed.elsewhere:
                continue
            if placed.generation == NO_LEASE:
                turn.starved += turn.concurrency > 0
                self._due_at(turn, accept.accepted_at_ms)
                continue
            delivery = fresh_delivery(accept, placed)
            lane = self._held.get(placed.lane_id)
            if lane is not None and lane.generation == placed.generation:
                if lane.state is not LaneState.PAGING:
                    self._held.append(lane, delivery)
                continue
            if not placed.granted or self._draining or not turn.may_send:
                # An older lease, that is being given back or that we never heard of: older deliveries may stand before
                # this one. Or the endpoint has stopped meanwhile. Whoever leases the lane anew begins with the oldest.
                self._committer.release(Release(placed.lane_id, placed.generation, accept.accepted_at_ms))
                self._due_at(turn, accept.accepted_at_ms)
                continue
            lane = Lane(placed.lane_id, placed.generation, accept.ordering_key, turn, expires_at_ms)
            self._held.add(lane)
            self._held.append(lane, delivery)
            self._held.ready(lane)
        self._attempts.pump()

    def settled(self, settle: Settle, result: Settled) -> None:
        unsettled = self._attempts.take(settle)
        if unsettled is None:
            return
        lane = unsettled.lane
        if result.lost:
            self.lost(lane)
            return
        self._attempts.report(unsettled)
        self.progress.set()
        if self._held.full:
            self.wake()  # what ends makes room, for any endpoint
        if lane.state is LaneState.DROPPED:
            return
        if result.recalled:
            self._let_go(lane, self._clock.now_ms())
        elif settle.state is DeliveryState.PENDING:
            self._let_go(lane, settle.due_at_ms)
        elif settle.block or result.pending == 0:
            self._held.drop(lane)
            if self._worth_asking(lane.turn, self._clock.now_ms()):
                self.wake()
        else:
            self._held.pop(lane)
            self._go_on(lane)

    def renewed(self, renewal: Renew, held: bool) -> None:  # noqa: FBT001 - the store's answer
        lane = self._held.get(renewal.lane_id)
        if lane is None or lane.generation != renewal.generation:
            return
        if held:
            lane.expires_at_ms = renewal.expires_at_ms
        else:
            self.lost(lane)

    def unsettled(self, settle: Settle, error: StoreError) -> None:
        unsettled = self._attempts.take(settle)
        if unsettled is None:
            return
        lane = unsettled.lane
        if isinstance(error, StoreUnavailable) or lane.expires_at_ms <= self._clock.now_ms() or self._draining:
            # Written or not, nobody knows. Whoever leases the lane next reads the truth.
            self._release(lane, self._clock.now_ms())
        else:
            self._attempts.put_back(unsettled)
            asyncio.get_running_loop().call_later(SETTLE_AGAIN_S, self._committer.settle, settle)

    def _due_at(self, turn: EndpointTurn, due_at_ms: int) -> None:
        if turn.due_at(due_at_ms):
            self.wake()

    async def step(self) -> float:
        await self.notes.write()
        while self._to_page:
            await self._page(self._to_page[0])
            self._to_page.popleft()
        self._renew()
        if not self._draining:
            for turn in list(self._turns.values()):
                allow_probe(turn, self._clock.now_ms())
                await self._acquire(turn)
                self._held.queue(turn)  # its rate may allow another attempt by now
            self._attempts.pump()
        return self._pause_s()

    def _pause_s(self) -> float:
        if self._to_page or self.notes:
            return 0.0
        now_ms = self._clock.now_ms()
        if not self._draining and any(self._worth_asking(turn, now_ms) for turn in self._turns.values()):
            return 0.0  # it became due while the store was asked for others
        return min(next_look_s(self._turns.values(), now_ms), POLL_S, self._lease_ms / 8000)

    def _worth_asking(self, turn: EndpointTurn, now_ms: int) -> bool:
        return not self._held.full and worth_asking(turn, now_ms, LANES_PER_ACQUIRE_MAX)

    async def _acquire(self, turn: EndpointTurn) -> None:
        now_ms = self._clock.now_ms()
        if not self._worth_asking(turn, now_ms):
            return
        turn.next_due_at_ms, turn.poll_at_ms = None, now_ms + round(POLL_S * 1000)
        expires_at_ms = now_ms + self._lease_ms
        try:
            acquired = await self._store.acquire(
                self._owner,
                turn.endpoint_id,
                lanes_max=min(turn.room, LANES_PER_ACQUIRE_MAX),
                heads_max=HEADS_MAX,
                body_bytes_max=min(self._held.body_bytes_left, BODY_BYTES_PER_ACQUIRE_MAX),
                now_ms=now_ms,
                expires_at_ms=expires_at_ms,
            )
        except StoreError:
            turn.due_at(now_ms)
            raise
        if acquired.next_due_at_ms is None:
            turn.starved = 0
        else:
            turn.due_at(acquired.next_due_at_ms)
        for leased in acquired.lanes:
            self._hold(leased, turn, expires_at_ms)
        self._attempts.pump()

    def _hold(self, leased: LeasedLane, turn: EndpointTurn, expires_at_ms: int) -> None:
        lane = Lane(leased.lane_id, leased.generation, leased.ordering_key, turn, expires_at_ms)
        self._held.add(lane)
        turn.starved = max(0, turn.starved - len(leased.heads))
        for delivery in leased.heads:
            self._held.append(lane, delivery)
        if turn.may_send and not self._draining:
            self._held.ready(lane)
        else:
            self._release(lane, self._clock.now_ms())

    async def _page(self, lane: Lane) -> None:
        if lane.state is not LaneState.PAGING:
            return
        heads = await self._store.page(
            lane.lane_id,
            lane.generation,
            after=Sequence(lane.last_sequence),
            heads_max=HEADS_MAX,
            body_bytes_max=max(1, min(self._held.body_bytes_left, BODY_BYTES_PER_ACQUIRE_MAX)),
        )
        if self._held.get(lane.lane_id) is not lane:
            return
        if not heads:
            # Lost, or what is pending stands before what we have seen: a new lease starts from the oldest.
            self._release(lane, self._clock.now_ms())
            return
        lane.last_sequence = 0
        for delivery in heads:
            self._held.append(lane, delivery)
        self._held.ready(lane)
        self._attempts.pump()

    def _renew(self) -> None:
        now_ms = self._clock.now_ms()
        if now_ms < self._renew_at_ms:
            return
        self._renew_at_ms = now_ms + self._lease_ms // 8
        for lane in self._held:
            if lane.expires_at_ms - now_ms < self._lease_ms // 2:
                self._committer.renew(Renew(lane.lane_id, lane.generation, now_ms + self._lease_ms))

    def _go_on(self, lane: Lane) -> None:
        if not lane.turn.active or self._draining or lane.turn.health.is_open:
            self._release(lane, self._clock.now_ms())
        elif lane.heads:
            self._held.ready(lane)
            self._attempts.pump()
        else:
            lane.state = LaneState.PAGING
            self._to_page.append(lane)
            self.wake()

    def disable(self, turn: EndpointTurn, reason: str) -> None:
        """Sends the endpoint nothing more, now and after a restart, until it is configured again."""
        self._deactivate(turn)
        self.notes.disable(turn, reason)
        self._hooks.emit(EndpointDisabled(turn.policy.name, reason))
        self.wake()

    def examined(self, turn: EndpointTurn, before: Health, why: str) -> None:
        """The endpoint's breaker opened, closed, or stays open after a probe."""
        self.notes.remember(turn)
        turn.probing = False
        if turn.health.is_open and not before.is_open:
            self.hold_back(turn)
            self._hooks.emit(EndpointFailing(turn.policy.name, why))
        elif before.is_open and not turn.health.is_open:
            down_ms = self._clock.now_ms() - before.opened_at_ms
            self._hooks.emit(EndpointRecovered(turn.policy.name, down_ms))
            turn.due_at(self._clock.now_ms())
        self.wake()

    def _deactivate(self, turn: EndpointTurn) -> None:
        """Sends the endpoint nothing more. What is in flight ends as it will; its lanes are then given back."""
        turn.active = False
        self.hold_back(turn)

    def hold_back(self, turn: EndpointTurn) -> None:
        """Gives back the endpoint's lanes for which nothing is under way."""
        for lane in self._held:
            if lane.turn is turn and lane.state in (LaneState.READY, LaneState.PAGING):
                self._release(lane, self._clock.now_ms())

    def _release(self, lane: Lane, due_at_ms: int) -> None:
        if lane.state is not LaneState.DROPPED:
            self._committer.release(Release(lane.lane_id, lane.generation, due_at_ms))
            self._let_go(lane, due_at_ms)

    def lost(self, lane: Lane) -> None:
        """Somebody else has the lane, or may have: this worker lets it go."""
        self._hooks.emit(LeaseLost(lane.lane_id))
        self._let_go(lane, self._clock.now_ms())

    def _let_go(self, lane: Lane, due_at_ms: int) -> None:
        self._held.drop(lane)
        lane.turn.due_at(due_at_ms)
        self.wake()
