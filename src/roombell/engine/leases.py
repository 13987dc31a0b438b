"""Leases: fetching what is due from the store, reading on in long lanes, keeping what is held, and giving it back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from roombell.engine.committer import Committer
from roombell.engine.lanes import HEADS_MAX, HeldLanes
from roombell.engine.model import LeasedLane, Release, Renew, Sequence
from roombell.engine.ports import Clock, Store
from roombell.engine.schedule import look_at_ms, worth_asking
from roombell.engine.turns import EndpointTurn, Lane, LaneState
from roombell.errors import StoreError

POLL_S: Final = 5.0
"""How long work that nobody told us of can lie in the store: the bound behind a lost wake-up."""
LANES_PER_ACQUIRE_MAX: Final = 128
BODY_BYTES_PER_ACQUIRE_MAX: Final = 8 * 1024 * 1024


class Leases:
    """What this worker has leased. ``wake`` has the dispatcher look at its endpoints soon."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        clock: Clock,
        held: HeldLanes,
        *,
        owner: str,
        lease_ms: int,
        wake: Callable[[], None],
    ) -> None:
        self._store, self._committer, self._clock, self._held = store, committer, clock, held
        self._owner, self.lease_ms, self._wake = owner, lease_ms, wake
        self._to_page: deque[Lane] = deque()
        self._renew_at_ms = 0
        self.draining = False
        """Whether nothing more is leased, and what is fetched goes back at once."""

    @property
    def reading_on(self) -> bool:
        """Whether a lane waits for more of its deliveries."""
        return bool(self._to_page)

    def worth_asking(self, turn: EndpointTurn, now_ms: int) -> bool:
        """Whether ``acquire`` would ask the store."""
        return not self._held.full and worth_asking(turn, now_ms, LANES_PER_ACQUIRE_MAX)

    async def acquire(self, turn: EndpointTurn) -> None:
        """Leases what is due for an endpoint and readies it, as far as there is room.

        :raises StoreError: the store cannot be asked; it will be asked again.
        """
        now_ms = self._clock.now_ms()
        if not self.worth_asking(turn, now_ms):
            return
        turn.next_due_at_ms, turn.poll_at_ms = None, now_ms + round(POLL_S * 1000)
        expires_at_ms = now_ms + self.lease_ms
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
            turn.due_at(look_at_ms(turn, acquired.next_due_at_ms, now_ms))
        for leased in acquired.lanes:
            self._hold(leased, turn, expires_at_ms)

    def _hold(self, leased: LeasedLane, turn: EndpointTurn, expires_at_ms: int) -> None:
        lane = Lane(leased.lane_id, leased.generation, leased.ordering_key, turn, expires_at_ms)
        self._held.add(lane)
        turn.starved = max(0, turn.starved - len(leased.heads))
        for delivery in leased.heads:
            self._held.append(lane, delivery)
        if turn.may_send and not self.draining:
            self._held.ready(lane)
        else:
            self.give_back(lane)

    def read_on_later(self, lane: Lane) -> None:
        """The heads of a lane are settled, and the store has more of it: ``read_on`` fetches them."""
        lane.state = LaneState.PAGING
        self._to_page.append(lane)
        self._wake()

    async def read_on(self) -> None:
        """Fetches more of one lane that waits for it, and readies it.

        :raises StoreError: the store cannot be asked; the lane waits on.
        """
        await self._read_on(self._to_page[0])
        self._to_page.popleft()

    async def _read_on(self, lane: Lane) -> None:
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
            self.give_back(lane)
            return
        lane.last_sequence = 0
        for delivery in heads:
            self._held.append(lane, delivery)
        self._held.ready(lane)

    def renew(self) -> None:
        """Asks for those leases to last longer that have used up half of their time."""
        now_ms = self._clock.now_ms()
        if now_ms < self._renew_at_ms:
            return
        self._renew_at_ms = now_ms + self.lease_ms // 8
        for lane in self._held:
            if lane.expires_at_ms - now_ms < self.lease_ms // 2:
                self._committer.renew(Renew(lane.lane_id, lane.generation, now_ms + self.lease_ms))

    def hold_back(self, turn: EndpointTurn) -> None:
        """Gives back the endpoint's lanes for which nothing is under way."""
        for lane in self._held:
            if lane.turn is turn and lane.state in (LaneState.READY, LaneState.PAGING):
                self.give_back(lane)

    def give_back_all(self) -> None:
        """Gives back every lane."""
        for lane in self._held:
            self.give_back(lane)

    def give_back(self, lane: Lane) -> None:
        """Ends a lease. The lane is due at once, for whoever leases it next."""
        if lane.state is not LaneState.DROPPED:
            now_ms = self._clock.now_ms()
            self._committer.release(Release(lane.lane_id, lane.generation, now_ms))
            self.let_go(lane, now_ms)

    def let_go(self, lane: Lane, due_at_ms: int) -> None:
        """Holds a lane no longer whose lease has ended; it is due again at ``due_at_ms``."""
        self.due_at(lane.turn, due_at_ms)
        self.end(lane)

    def end(self, lane: Lane) -> None:
        """Holds a lane no longer whose lease has ended."""
        was_full = self._held.full
        self._held.drop(lane)
        if was_full or self.worth_asking(lane.turn, self._clock.now_ms()):
            self._wake()  # there is room: of the endpoint's own, or for any

    def due_at(self, turn: EndpointTurn, due_at_ms: int) -> None:
        """Remembers when one of the endpoint's lanes in the store is due."""
        if turn.due_at(look_at_ms(turn, due_at_ms, self._clock.now_ms())):
            self._wake()
