"""Telling operators: watches for backlogs that grow, and sends operational events through the engine itself.

An operational event is an event for one internal endpoint, which no filter and no producer can reach; so it is as
durable, as ordered and as patient as every other. It can never cause another one: of the internal endpoint, whatever
becomes of it, nothing is announced.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from roombell.engine.core import Submitted
from roombell.engine.hooks import DeliveryDead, Hooks, Record
from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.operations import BacklogWatch, DeadTally, Operation, operation_of
from roombell.engine.ports import Clock, Store
from roombell.errors import ServiceError

_log = logging.getLogger("roombell.operations")

WATCH_EVERY_S: Final = 15.0
DEAD_EVERY_S: Final = 60.0
"""The first delivery that dies of a reason is told of at once; those after it together, this much later."""
TALLIES_MAX: Final = 1_000
OUTBOX_MAX: Final = 1_000
"""Operational events that wait for the store; past it the oldest are dropped, which the log says."""

Submit = Callable[[str, str, str, bytes], Submitted]
"""Takes (id, type, ordering key, body) for the internal endpoint. May raise ``ServiceError``."""


class Body(msgspec.Struct, frozen=True):
    """An operational event on the wire: the envelope is that of LiveKit's webhooks."""

    event: str
    id: str
    createdAt: str  # noqa: N815 - LiveKit's spelling
    """Unix seconds, as text: how protobuf writes 64-bit integers in JSON."""
    data: dict[str, str | int | list[str]]


class Watch(BackgroundLoop):
    """Tells the hooks of backlogs that grow.

    :param internal: the endpoint of which nothing is told.
    """

    def __init__(self, store: Store, clock: Clock, hooks: Hooks, *, internal: str) -> None:
        super().__init__("watch")
        self._store, self._clock, self._hooks, self._internal = store, clock, hooks, internal
        self._watch = BacklogWatch()

    async def step(self) -> float:
        statuses = [status for status in await self._store.endpoints() if status.name != self._internal]
        for growing in self._watch.observe(statuses, now_ms=self._clock.now_ms()):
            self._hooks.emit(growing)
        return WATCH_EVERY_S


class Announcer(BackgroundLoop):
    """Turns the engine's records into operational events. ``observe`` is an engine hook.

    :param internal: the endpoint of which nothing is told.
    :param new_id: makes an event id that no other event has.
    """

    def __init__(self, clock: Clock, submit: Submit, *, internal: str, new_id: Callable[[], str]) -> None:
        super().__init__("announcer")
        self._clock, self._submit, self._internal, self._new_id = clock, submit, internal, new_id
        self._outbox: deque[tuple[str, Operation, int]] = deque()
        self._dead: dict[tuple[str, str], DeadTally] = {}
        self._dead_due_at_s = 0.0

    def observe(self, record: Record) -> None:
        """Takes note of what an operator is to be told."""
        operation = operation_of(record)
        if operation is None or operation.endpoint == self._internal:
            return
        if isinstance(record, DeliveryDead) and self._is_tallied(record):
            return
        self._put(operation)

    async def step(self) -> float:
        now_s = self._clock.monotonic()
        if self._dead and now_s >= self._dead_due_at_s:
            self._take_tallies(now_s)
        while self._outbox:  # taken off only when it is on disk
            event_id, operation, at_ms = self._outbox[0]
            await self._submit(event_id, operation.type, operation.endpoint, _body(event_id, operation, at_ms))
            if self._outbox and self._outbox[0][0] == event_id:
                self._outbox.popleft()
        return max(0.001, self._dead_due_at_s - now_s) if self._dead else WATCH_EVERY_S

    async def stop(self) -> None:
        """Sends what waits, once, and ends."""
        self._take_tallies(self._clock.monotonic())
        try:
            await self.step()
        except ServiceError as error:
            _log.warning("%d operational events could not be written: %s", len(self._outbox), error)
        await super().stop()

    def _is_tallied(self, record: DeliveryDead) -> bool:
        """Whether it is told of later, with others; False for the first of its kind."""
        key = (record.endpoint, record.reason)
        tally = self._dead.get(key)
        if tally is not None:
            tally.add(record)
            return True
        if len(self._dead) < TALLIES_MAX:
            if not self._dead:
                self._dead_due_at_s = self._clock.monotonic() + DEAD_EVERY_S
            self._dead[key] = DeadTally(*key)
        return False

    def _take_tallies(self, now_s: float) -> None:
        """Tells of what was counted; what had nothing to count is forgotten, so that the next is told of at once."""
        for key, tally in list(self._dead.items()):
            operation = tally.take()
            if operation is None:
                del self._dead[key]
            else:
                self._put(operation)
        self._dead_due_at_s = now_s + DEAD_EVERY_S

    def _put(self, operation: Operation) -> None:
        if len(self._outbox) >= OUTBOX_MAX:
            dropped = self._outbox.popleft()[1]
            _log.warning("The operational event %s of %s is dropped: too many wait.", dropped.type, dropped.endpoint)
        self._outbox.append((self._new_id(), operation, self._clock.now_ms()))
        self.wake()


def _body(event_id: str, operation: Operation, at_ms: int) -> bytes:
    data = {"endpoint": operation.endpoint, **operation.data}
    return msgspec.json.encode(Body(operation.type, event_id, str(at_ms // 1000), data))
