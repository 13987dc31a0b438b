"""Making attempts: whose turn it is, one POST, what follows, and the write that says so."""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import Protocol

import msgspec

from roombell.engine.answers import Evidence, rule_of
from roombell.engine.committer import Committer
from roombell.engine.decide import Disable, decide, is_expired
from roombell.engine.health import Attempt, Health, after
from roombell.engine.hooks import AttemptFinished, DeliveryDead, Hooks
from roombell.engine.lanes import HeldLanes
from roombell.engine.model import AttemptRecord, Delivery, DeliveryState, Failed, FailureKind, LaneId, Outcome, Settle
from roombell.engine.ports import AttemptRequest, Clock, Transport
from roombell.engine.settlement import Verdict, attempt_record, expired, settle, verdict
from roombell.engine.turns import EndpointTurn, Lane, LaneState

_log = logging.getLogger("roombell.engine")


class LaneKeeper(Protocol):
    """Who holds the lanes, and is told what an attempt found out about one."""

    def lost(self, lane: Lane) -> None:
        """The lease has run out."""

    def disable(self, turn: EndpointTurn, reason: str) -> None:
        """The endpoint wants nothing more."""

    def examined(self, turn: EndpointTurn, before: Health, why: str) -> None:
        """The endpoint's breaker opened, closed, or stays open after a probe."""


class Unsettled(msgspec.Struct, frozen=True, gc=False):
    """An attempt that is over, whose result is not on disk yet."""

    lane: Lane
    delivery: Delivery
    write: Settle
    what: Verdict | None
    """None where the delivery was too old for an attempt."""


class Attempts:
    """Sends the heads of ready lanes, as many at once as the bounds allow."""

    def __init__(
        self,
        held: HeldLanes,
        keeper: LaneKeeper,
        transport: Transport,
        committer: Committer,
        *,
        clock: Clock,
        random: Random,
        hooks: Hooks,
    ) -> None:
        self._held, self._keeper = held, keeper
        self._transport, self._committer = transport, committer
        self._clock, self._random, self._hooks = clock, random, hooks
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsettled: dict[LaneId, Unsettled] = {}
        self._stopped = False
        self.store_id = ""

    async def stop(self, grace_s: float) -> None:
        """Begins no more, waits up to ``grace_s`` for those under way, and cancels the rest."""
        self._stopped = True
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=grace_s)
        finally:
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def take(self, write: Settle) -> Unsettled | None:
        """What ``write`` was about, which is from now on no longer waited for; None if it was given up on."""
        unsettled = self._unsettled.get(write.lane_id)
        if unsettled is None or unsettled.write is not write:
            return None
        return self._unsettled.pop(write.lane_id)

    def put_back(self, unsettled: Unsettled) -> None:
        """Waits for the write again: it is to be tried once more."""
        self._unsettled[unsettled.write.lane_id] = unsettled

    def pump(self) -> None:
        """Starts the attempts that can be started. Call it whenever a lane became ready."""
        while not self._stopped and (lane := self._held.next(self._clock.now_ms())) is not None:
            task = asyncio.get_running_loop().create_task(self._attempt(lane, lane.heads[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _attempt(self, lane: Lane, delivery: Delivery) -> None:
        try:
            await self._make(lane, delivery, self._clock.now_ms())
        finally:
            self._held.landed(lane.turn)
            self.pump()

    async def _make(self, lane: Lane, delivery: Delivery, started_at_ms: int) -> None:
        policy = lane.turn.policy
        if lane.expires_at_ms <= started_at_ms:
            self._keeper.lost(lane)  # this process was stopped for a while: somebody else may have the lane by now
        elif is_expired(delivery, policy.retry, now_ms=started_at_ms):
            write = expired(delivery, lane.generation, on_dead=policy.on_dead, now_ms=started_at_ms)
            self._write(lane, delivery, write, None)
        else:
            self._conclude(lane, delivery, await self._send(lane, delivery), started_at_ms)

    async def _send(self, lane: Lane, delivery: Delivery) -> Outcome:
        request = AttemptRequest(
            endpoint_id=lane.turn.endpoint_id,
            delivery=delivery,
            attempt=delivery.attempts + 1,
            lane_name=f"{self.store_id}-{lane.lane_id}",
        )
        try:
            return await self._transport.send(request)
        except Exception as error:  # noqa: BLE001 - the port's promise, kept for it
            _log.exception("The transport broke its promise not to raise. This is a fault of Roombell.")
            return Failed(FailureKind.CONFIGURATION, f"a fault of Roombell: {type(error).__name__}", 0)

    def _conclude(self, lane: Lane, delivery: Delivery, outcome: Outcome, started_at_ms: int) -> None:
        now_ms = self._clock.now_ms()
        policy = lane.turn.policy
        attempt = attempt_record(delivery, outcome, started_at_ms=started_at_ms)
        counted = self._examine(lane, outcome, attempt, now_ms)
        decision = decide(delivery, outcome, policy.retry, now_ms=now_ms, draw=self._random.random(), counted=counted)
        if isinstance(decision, Disable) and lane.turn.active:
            self._keeper.disable(lane.turn, decision.reason)
        what = verdict(decision, now_ms=now_ms)
        write = settle(delivery, lane.generation, attempt, what, on_dead=policy.on_dead, now_ms=now_ms, counted=counted)
        self._write(lane, delivery, write, what)

    def _examine(self, lane: Lane, outcome: Outcome, attempt: AttemptRecord, now_ms: int) -> bool:
        """Learns from an outcome how the endpoint is. Whether the attempt counts towards giving the delivery up."""
        turn, before, shown = lane.turn, lane.turn.health, rule_of(outcome).evidence
        seen = Attempt(shown, lane.lane_id, outcome.duration_ms, turn.in_flight, lane.probe)
        draw = self._random.random() if shown is not Evidence.UP else 0.0
        health = after(before, seen, limit_max=turn.policy.concurrency, now_ms=now_ms, draw=draw)
        turn.health = health
        if health.condition is not before.condition or health.probes != before.probes:
            # What an endpoint answered is not told on: it may repeat the token.
            self._keeper.examined(turn, before, f"answered {attempt.status}" if attempt.status else attempt.detail)
        return not (lane.probe and health.is_open)

    def _write(self, lane: Lane, delivery: Delivery, write: Settle, what: Verdict | None) -> None:
        if lane.state is not LaneState.DROPPED:
            lane.state = LaneState.SETTLING
        self._unsettled[lane.lane_id] = Unsettled(lane, delivery, write, what)
        self._committer.settle(write)

    def report(self, unsettled: Unsettled) -> None:
        """Tells the hooks what is on disk now."""
        write, delivery = unsettled.write, unsettled.delivery
        name = unsettled.lane.turn.policy.name
        if not self._hooks:
            return
        if unsettled.what is not None and write.attempt is not None:
            self._hooks.emit(
                AttemptFinished(
                    endpoint=name,
                    delivery=delivery,
                    attempt=write.attempt,
                    decision=unsettled.what.label,
                    reason=unsettled.what.reason,
                    next_due_at_ms=write.due_at_ms,
                    latency_ms=write.settled_at_ms - delivery.accepted_at_ms,
                    lane=unsettled.lane.key,
                )
            )
        if write.state is DeliveryState.DEAD:
            attempts = delivery.attempts + (write.attempt is not None)
            self._hooks.emit(DeliveryDead(name, delivery.event_id, delivery.event_type, write.reason, attempts))
