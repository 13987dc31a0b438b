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
from collections.abc import Iterable, Mapping
from random import Random
from typing import Final

from roombell.engine.attempts import Attempts
from roombell.engine.committer import Committer
from roombell.engine.health import Health, decode
from roombell.engine.hooks import EndpointDisabled, EndpointFailing, EndpointRecovered, Hooks, LeaseLost
from roombell.engine.lanes import HeldLanes, HeldLimits
from roombell.engine.leases import POLL_S, Leases
from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.model import (
    NO_LEASE,
    WHOLE,
    Accept,
    Accepted,
    DeliveryState,
    EndpointId,
    Grant,
    Part,
    Release,
    Renew,
    Settle,
    Settled,
)
from roombell.engine.notes import Notes
from roombell.engine.ports import Clock, Store, Transport
from roombell.engine.router import EndpointPolicy
from roombell.engine.schedule import allow_probe, next_look_s
from roombell.engine.settlement import fresh_delivery
from roombell.engine.turns import EndpointTurn, Lane, LaneState
from roombell.errors import StoreError, StoreUnavailable

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
        self._held = HeldLanes(limits)
        self._leases = Leases(store, committer, clock, self._held, owner=owner, lease_ms=lease_ms, wake=self.wake)
        self._turns: dict[EndpointId, EndpointTurn] = {}
        self._attempts = Attempts(self._held, self, transport, committer, clock=clock, random=random, hooks=hooks)
        self.notes = Notes(store, clock)
        self._part: Part | None = WHOLE
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
        """Deliveries known to be due and not in flight that their endpoints could take: one that is slow, down or
        disabled makes its own backlog.
        """
        return sum(turn.behind for turn in self._turns.values())

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
        self._leases.draining = True
        await self._attempts.stop(grace_s)
        await self._committer.flush()
        self._leases.give_back_all()
        await self._committer.flush()

    def grants(self) -> tuple[Grant, ...]:
        if self._leases.draining or self._held.full:
            return ()
        return tuple([Grant(id_, turn.room) for id_, turn in self._turns.items() if turn.room])

    def placed(self, accept: Accept, accepted: Accepted, expires_at_ms: int) -> None:
        for placed in accepted.placed:
            turn = self._turns.get(placed.endpoint_id)
            if turn is None or placed.elsewhere:
                continue
            if placed.generation == NO_LEASE:
                if placed.due_at_ms is not None:
                    turn.starved += turn.concurrency > 0 and placed.due_at_ms <= accept.accepted_at_ms
                    self._leases.due_at(turn, placed.due_at_ms)
                continue
            delivery = fresh_delivery(accept, placed)
            lane = self._held.get(placed.lane_id)
            if lane is not None and lane.generation == placed.generation:
                if lane.state is not LaneState.PAGING:
                    self._held.append(lane, delivery)
                continue
            if not placed.granted or self._leases.draining or not turn.may_send:
                # An older lease, that is being given back or that we never heard of: older deliveries may stand before
                # this one. Or the endpoint has stopped meanwhile. Whoever leases the lane anew begins with the oldest.
                self._committer.release(Release(placed.lane_id, placed.generation, accept.accepted_at_ms))
                self._leases.due_at(turn, accept.accepted_at_ms)
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
            self._leases.let_go(lane, self._clock.now_ms())
        elif settle.state is DeliveryState.PENDING:
            self._leases.let_go(lane, settle.due_at_ms)
        elif settle.block or result.pending == 0:
            self._leases.end(lane)
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
        if isinstance(error, StoreUnavailable) or lane.expires_at_ms <= self._clock.now_ms() or self._leases.draining:
            # Written or not, nobody knows. Whoever leases the lane next reads the truth.
            self._leases.give_back(lane)
        else:
            self._attempts.put_back(unsettled)
            asyncio.get_running_loop().call_later(SETTLE_AGAIN_S, self._committer.settle, settle)

    async def step(self) -> float:
        await self.notes.write()
        while self._leases.reading_on:
            await self._leases.read_on()
            self._attempts.pump()
        self._leases.renew()
        if not self._leases.draining:
            for turn in list(self._turns.values()):
                allow_probe(turn, self._clock.now_ms())
                await self._leases.acquire(turn)
                self._held.queue(turn)  # its rate may allow another attempt by now
                self._attempts.pump()
        return self._pause_s()

    def _pause_s(self) -> float:
        if self._leases.reading_on or self.notes:
            return 0.0
        now_ms, turns = self._clock.now_ms(), () if self._leases.draining else self._turns.values()
        if any(self._leases.worth_asking(turn, now_ms) for turn in turns):
            return 0.0  # it became due while the store was asked for others
        return min(next_look_s(turns, now_ms), POLL_S, self._leases.lease_ms / 8000)

    def _go_on(self, lane: Lane) -> None:
        if not lane.turn.active or self._leases.draining or lane.turn.health.is_open:
            self._leases.give_back(lane)
        elif lane.heads:
            self._held.ready(lane)
            self._attempts.pump()
        else:
            self._leases.read_on_later(lane)

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
        self._leases.hold_back(turn)

    def lost(self, lane: Lane) -> None:
        """Somebody else has the lane, or may have: this worker lets it go."""
        self._hooks.emit(LeaseLost(lane.lane_id))
        self._leases.let_go(lane, self._clock.now_ms())
