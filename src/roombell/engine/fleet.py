"""One worker among many on one store: what it may do, and what the others have found out.

Every ``BEAT_S`` a worker says that it lives, and is told its place among those that deliver and how every endpoint
stands. From its place follows its share of each endpoint's concurrency and rate (``Part``): all shares together are
the limit, so the fleet keeps it with nothing to be asked for an attempt. What one worker finds out about an endpoint,
it writes into the store; the others take it over with their next beat, or sooner, when they are told to look.

Shares change hands slowly. A worker that joins waits ``JOIN_S``, until all others have heard of it, before it begins;
one that has gone silent is counted until ``LIFE_S`` have passed, and begins nothing itself from then on. So the sum is
over the limit only by attempts that were under way when shares shrank, for as long as each of them takes.

Rejected: a counter of attempts in the store, exact to the one, and a transaction before and after every attempt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Final

from roombell.engine.dispatcher import Dispatcher
from roombell.engine.health import Health, decode
from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.model import EndpointId, EndpointNow, EndpointState, Muster, Part
from roombell.engine.ports import Clock, Fleet
from roombell.engine.turns import EndpointTurn
from roombell.errors import StoreError

BEAT_S: Final = 2.0
"""The bound within which a worker sees what another one has changed, also when it was not told to look."""
JOIN_S: Final = 2 * BEAT_S
LIFE_S: Final = 10.0


class FleetWatch(BackgroundLoop):
    """Keeps ``dispatcher`` in step with the other workers.

    :param delivers: whether this worker is to deliver at all.
    """

    def __init__(self, fleet: Fleet, dispatcher: Dispatcher, clock: Clock, *, owner: str, delivers: bool) -> None:
        super().__init__("fleet watch")
        self._fleet, self._dispatcher, self._clock = fleet, dispatcher, clock
        self._owner, self._delivers = owner, delivers
        self._part: Part | None = None
        self._valid_until_ms = 0
        self._seen: dict[EndpointId, bytes] = {}
        """The health of each endpoint as the store had it last."""
        dispatcher.take_part(None)
        fleet.listen(due=self._due, changed=self.wake)

    async def step(self) -> float:
        now_ms = self._clock.now_ms()
        expires_at_ms = now_ms + round(LIFE_S * 1000)
        before = self._known_here()
        try:
            muster = await self._fleet.beat(
                self._owner, delivers=self._delivers, now_ms=now_ms, expires_at_ms=expires_at_ms
            )
        except StoreError:
            if self._clock.now_ms() >= self._valid_until_ms:
                self._take(None)
            raise
        self._valid_until_ms = expires_at_ms
        self._take(_part_now(muster, now_ms))
        now = self._known_here()
        for endpoint in muster.endpoints:
            is_active = now.get(endpoint.endpoint_id)
            # What was changed here while the store was asked is newer than its answer.
            if is_active is not None and is_active == before.get(endpoint.endpoint_id):
                self._follow(self._dispatcher.turns[endpoint.endpoint_id], endpoint)
        return BEAT_S

    def _known_here(self) -> dict[EndpointId, bool]:
        """Whether each endpoint is sent to, but for those of which the store has still to be told something."""
        turns, notes = self._dispatcher.turns, self._dispatcher.notes
        return {endpoint_id: turn.active for endpoint_id, turn in turns.items() if not notes.has(turn)}

    async def stop(self) -> None:
        """Ends the loop, and leaves: the others need not wait until this worker's share falls to them."""
        if not self.running:
            return
        await super().stop()
        with contextlib.suppress(StoreError):  # then it falls to them when this worker expires
            await self._fleet.leave(self._owner)

    def _take(self, part: Part | None) -> None:
        if part != self._part:
            self._part = part
            self._dispatcher.take_part(part)

    def _follow(self, turn: EndpointTurn, endpoint: EndpointNow) -> None:
        is_active = endpoint.state is EndpointState.ACTIVE
        if turn.active and not is_active:
            self._dispatcher.pause(turn.endpoint_id)
        elif is_active and not turn.active:
            self._dispatcher.resume(turn.endpoint_id)
        if self._seen.get(turn.endpoint_id) != endpoint.health:
            self._seen[turn.endpoint_id] = endpoint.health
            self._take_over(turn, decode(endpoint.health))

    def _take_over(self, turn: EndpointTurn, health: Health) -> None:
        """What another worker knows of a breaker counts; how much the endpoint can take each worker sees itself."""
        if not health.is_open and not turn.health.is_open:
            return
        was_open, turn.health = turn.health.is_open, health
        if health.is_open:
            self._dispatcher.hold_back(turn)
        elif was_open:
            turn.due_at(self._clock.now_ms())
        self._dispatcher.wake()

    def _due(self, endpoints: Collection[EndpointId]) -> None:
        for endpoint_id in endpoints:
            turn = self._dispatcher.turns.get(endpoint_id)
            if turn is not None:
                turn.due_at(self._clock.now_ms())
        self._dispatcher.wake()


def _part_now(muster: Muster, now_ms: int) -> Part | None:
    """The share that may be used: none before all others know of this worker."""
    part = muster.part
    if part is None or part.workers == 1 or now_ms - muster.joined_at_ms >= JOIN_S * 1000:
        return part
    return None
