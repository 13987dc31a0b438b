"""The rooms of a receiver, kept in memory: who is where now, what is recorded, and what seems lost."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import TypeVar, overload

from roombell.errors import EventError, UsageError
from roombell.events import WebhookEvent
from roombell.receiver.delivery import DeliveryInfo
from roombell.receiver.gaps import LaneWatch
from roombell.receiver.receiver import Receiver
from roombell.receiver.room_state import Anomaly, AnomalyKind, Change, InRoom, RoomLimits, RoomNow, RoomState
from roombell.receiver.room_state.changes import Fact
from roombell.receiver.views import Ingress, ParticipantKind, Recording

A = TypeVar("A", bound=Change)
B = TypeVar("B", bound=Change)
C = TypeVar("C", bound=Change)
D = TypeVar("D")

Hook = Callable[[D], object]

_log = logging.getLogger("roombell.receiver")


class RoomWatch:
    """Follows the rooms that a receiver's webhooks tell of.

    ::

        receiver = Receiver(keys={"APIabc": "secret"})
        rooms = RoomWatch(receiver)

        @rooms.on_change(RoomComplete)
        def archive(complete): ...

        @rooms.on_anomaly()
        def suspicious(anomaly): ...

        rooms.participants("standup")

    It is told of each verified webhook before the receiver's handlers run. It lives in this process' memory and must
    see all webhooks: where several processes take them, or where it has to survive a restart, an inbox keeps the same
    state in its store. Safe for threads.

    :param limits: how long it waits and how much it remembers.
    :param now: the clock: unix seconds.
    """

    def __init__(
        self, receiver: Receiver, *, limits: RoomLimits | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._state = RoomState(limits) if limits is not None else RoomState()
        self._lanes = LaneWatch()
        self._lock = threading.Lock()
        self._now = now
        self._behind_s = 0.0
        self._hooks: tuple[tuple[tuple[type[Fact], ...], Hook[Change]], ...] = ()
        self._anomalies_count = dict.fromkeys(AnomalyKind, 0)
        receiver.listen(self.take)

    @overload
    def on_change(self, one: type[A], /) -> Callable[[Hook[A]], Hook[A]]: ...
    @overload
    def on_change(self, one: type[A], two: type[B], /) -> Callable[[Hook[A | B]], Hook[A | B]]: ...
    @overload
    def on_change(
        self, one: type[A], two: type[B], three: type[C], /
    ) -> Callable[[Hook[A | B | C]], Hook[A | B | C]]: ...
    @overload
    def on_change(self, *kinds: type[Fact]) -> Callable[[Hook[Change]], Hook[Change]]: ...

    def on_change(self, *kinds: type[Fact]) -> object:
        """Has the decorated function called with each change of these kinds, in order. It is called where the webhook
        was received, before it is answered, and must not block; what it raises is logged and changes nothing.

        :raises UsageError: no kind is given, or the function is a coroutine function.
        """
        if not kinds or not all(map(_is_change, kinds)):
            raise UsageError("`on_change` is given what to tell of: `@rooms.on_change(RoomComplete)`.")

        def register(hook: Hook[Change]) -> Hook[Change]:
            _check(hook)
            self._hooks = (*self._hooks, (kinds, hook))
            return hook

        return register

    def on_anomaly(self, *kinds: AnomalyKind) -> Callable[[Hook[Anomaly]], Hook[Anomaly]]:
        """The same for anomalies of these kinds, or of all where none is named.

        :raises UsageError: what is given is no kind of anomaly, or the function is a coroutine function.
        """
        if not all(isinstance(kind, AnomalyKind) for kind in kinds):
            raise UsageError("`on_anomaly` is given kinds, or nothing: `@rooms.on_anomaly()`.")
        wanted = frozenset(kinds or AnomalyKind)

        def register(hook: Hook[Anomaly]) -> Hook[Anomaly]:
            _check(hook)
            self.on_change(Anomaly)(lambda anomaly: hook(anomaly) if anomaly.kind in wanted else None)
            return hook

        return register

    def take(self, event: WebhookEvent, delivery: DeliveryInfo) -> None:
        """Folds an event in and tells of what changed. The receiver calls this."""
        with self._lock:
            now = self._now()
            self._behind_s = max(0.0, now - event.created_at) if event.created_at else 0.0
            changes: tuple[Change, ...] = self._lanes.observe(event, delivery)
            try:
                changes += self._state.apply(event)
            except EventError as error:
                _log.warning("The room state passes over %r: %s", event, error)
            changes += self._state.settle(min(event.created_at, now))  # one clock that is ahead ends no other room
        self._tell(changes)

    def settle(self) -> None:
        """Does what is due though no event comes; to be called once a minute or so where rooms may be quiet for long.
        If events came late of late, it waits as much longer.
        """
        with self._lock:
            changes = self._state.settle(self._now() - self._behind_s)
        self._tell(changes)

    def rooms(self, *, provisional: bool = False) -> tuple[RoomNow, ...]:
        """The rooms that are there; see ``RoomState.rooms``."""
        with self._lock:
            return self._state.rooms(provisional=provisional)

    def room(self, name: str) -> RoomNow | None:
        """The room, None if there is none of that name now."""
        with self._lock:
            return self._state.room(name)

    def participants(self, room: str, *, kinds: Collection[ParticipantKind] | None = None) -> tuple[InRoom, ...]:
        """Who is in the room now, in the order of their coming; of these kinds alone, where they are given."""
        with self._lock:
            return self._state.participants(room, kinds=kinds)

    def recordings(self, room: str, *, going: bool | None = None) -> tuple[Recording, ...]:
        """The room's recordings; see ``RoomState.recordings``."""
        with self._lock:
            return self._state.recordings(room, going=going)

    def ingresses(self, room: str) -> tuple[Ingress, ...]:
        """The room's ingresses that media comes in by."""
        with self._lock:
            return self._state.ingresses(room)

    def anomalies_count(self) -> dict[AnomalyKind, int]:
        """How many anomalies of each kind there were so far, for metrics. It only grows."""
        with self._lock:
            return dict(self._anomalies_count)

    def _tell(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            if isinstance(change, Anomaly):
                with self._lock:
                    self._anomalies_count[change.kind] += 1
            for kinds, hook in self._hooks:
                try:
                    if isinstance(change, kinds):
                        hook(change)
                except Exception:  # noqa: BLE001 - a hook is the user's, and may raise anything
                    _log.exception("A hook failed at %s of the room %r", type(change).__name__, change.room_name)


def _is_change(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Fact)


def _check(hook: object) -> None:
    if not callable(hook) or inspect.iscoroutinefunction(hook):
        raise UsageError(
            "A hook is a plain function: it is called while the webhook waits for its answer. Have it start a task, "
            "or use an inbox, whose handlers may be coroutine functions."
        )
