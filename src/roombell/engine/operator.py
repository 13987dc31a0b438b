"""What a person does to a notifier: look for deliveries, change many of them, unblock lanes, pause endpoints.

It works on the store alone, so it works beside a running engine, which is told what to look at again, and without one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from roombell.engine.model import DeliveryState, EndpointId, EndpointState, EndpointStatus, LaneId
from roombell.engine.ports import Clock, Store
from roombell.engine.selection import Cursor, DeliveryHistory, DeliveryStatus, Selector, states_before
from roombell.engine.transitions import Verb
from roombell.errors import UsageError

_log = logging.getLogger("roombell.operator")

PER_STEP_MAX: Final = 500
"""Deliveries changed in one transaction, for which nothing else is written: some ten milliseconds."""
PAGE_MAX: Final = 1000
STORE_STEPS_PER_PAGE_MAX: Final = 50
"""How often the store is asked for one page before it is handed out short."""
MOMENT_MS_MAX: Final = 1 << 53
"""Times further from the epoch, to either side, are typing errors; databases have no room for all of them."""
_PLACE: Final = re.compile(r"([0-9]{1,15})\.([0-9]{1,18})\.([0-9]{1,18})")


class Action(StrEnum):
    """What can be done to many at once, step by step."""

    REDRIVE = "redrive"
    REPLAY = "replay"
    CANCEL = "cancel"
    UNBLOCK = "unblock"


class Selection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which deliveries are meant: those that fit everything that is given. Nothing given: all."""

    endpoint: str | None = None
    """An endpoint's name."""
    lane: str | None = None
    """An ordering key: LiveKit's, so a room's name, or an egress' or ingress' id."""
    room: str | None = None
    """A room's name; unlike ``lane``, egress and ingress events of the room are meant too."""
    event_id: str | None = None
    states: tuple[DeliveryState, ...] = tuple(DeliveryState)
    since_ms: int | None = None
    """Accepted then or later, in UTC milliseconds since the epoch."""
    until_ms: int | None = None
    """Accepted before."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far something has come."""

    done: int = 0
    """Deliveries changed so far, or lanes unblocked; with ``dry_run`` those that would be."""
    left: int = 0
    """Deliveries that could not be cancelled, since they may be under way."""
    next: str = ""
    """Where it goes on: give it as ``after`` to take up what was interrupted. Empty at the end."""


class DeliveryPage(msgspec.Struct, frozen=True):
    """Some deliveries, in the order of acceptance."""

    deliveries: tuple[DeliveryStatus, ...]
    next: str
    """Give it as ``after`` for the next page; empty at the end. A page may be short and still have a next one."""


class Worker(Protocol):
    """The engine beside which a person works."""

    def look_again(self) -> None:
        """Deliveries may have been made pending."""

    def pause(self, endpoint_id: EndpointId) -> None:
        """The endpoint is to be sent nothing."""

    def resume(self, endpoint_id: EndpointId) -> None:
        """The endpoint is to be sent to again."""


class _Place(msgspec.Struct, frozen=True):
    """Where a walk stands, and when it began: what it changed itself it passes over, also when it is taken up again."""

    began_at_ms: int
    cursor: Cursor | None = None

    @property
    def text(self) -> str:
        return "" if self.cursor is None else f"{self.began_at_ms}.{self.cursor.event}.{self.cursor.lane_id}"


class Operator:
    """Does what a person asks.

    :param store: open; it stays the caller's.
    :param worker: the engine that runs on the store, if one does.
    """

    def __init__(self, store: Store, clock: Clock, worker: Worker | None = None) -> None:
        self._store, self._clock, self._worker = store, clock, worker

    async def endpoints(self) -> tuple[EndpointStatus, ...]:
        """Every endpoint with its state and what it is owed."""
        return await self._store.endpoints()

    async def deliveries(
        self, selection: Selection = Selection(), *, after: str = "", limit: int = 100
    ) -> DeliveryPage:
        """A page of up to ``limit`` deliveries.

        :raises UsageError: there is no such endpoint, or ``after`` or ``limit`` is wrong.
        """
        limit = _checked_limit(limit, PAGE_MAX)
        selector, place = await self._selector(selection), self._place(after)
        found: list[DeliveryStatus] = []
        for _ in range(STORE_STEPS_PER_PAGE_MAX):
            step = await self._store.find(selector, after=place.cursor, limit=limit - len(found))
            found += step.deliveries
            place = _Place(place.began_at_ms, step.next)
            if step.next is None or len(found) == limit:
                break
        return DeliveryPage(tuple(found), place.text)

    async def attempts(self, event_id: str) -> tuple[DeliveryHistory, ...]:
        """Every delivery of an event with its attempts; none if there is no such event."""
        return await self._store.history(event_id)

    async def run(
        self,
        action: Action,
        selection: Selection = Selection(),
        *,
        after: str = "",
        dry_run: bool = False,
        by: str,
        progress: Callable[[Progress], None] | None = None,
    ) -> Progress:
        """All steps. What it is cancelled in the middle of goes on from the last ``Progress.next``.

        :param by: who asks, for the record.
        :raises UsageError: there is no such endpoint, or ``after`` is wrong.
        :raises StoreError: the steps so far are done; the same call again does the rest.
        """
        total = Progress(next=after)
        while True:
            step = await self.step(action, selection, after=total.next, dry_run=dry_run, by=by)
            total = Progress(done=total.done + step.done, left=total.left + step.left, next=step.next)
            if progress is not None:
                progress(total)
            if not total.next:
                return total

    async def step(
        self,
        action: Action,
        selection: Selection = Selection(),
        *,
        after: str = "",
        limit: int = PER_STEP_MAX,
        dry_run: bool = False,
        by: str,
    ) -> Progress:
        """One bounded step, in one transaction."""
        limit = _checked_limit(limit, PER_STEP_MAX)
        selector, place = await self._selector(selection), self._place(after)
        if action is Action.UNBLOCK:
            return await self._unblock(selection, selector, place, limit, dry_run=dry_run)
        selector = msgspec.structs.replace(selector, as_of_ms=place.began_at_ms)
        verb = Verb(action.value)
        if dry_run:
            possible = tuple(state for state in states_before(verb) if state in selector.states)
            wanted = msgspec.structs.replace(selector, states=possible)
            found = await self._store.find(wanted, after=place.cursor, limit=limit)
            return Progress(done=len(found.deliveries), next=_Place(place.began_at_ms, found.next).text)
        now_ms = self._clock.now_ms()
        changed = await self._store.change(
            selector, verb, reason=f"cancelled by {by}", after=place.cursor, limit=limit, now_ms=now_ms
        )
        if changed.changed:
            _log.info("%s: %d deliveries, by %s.", action.value, changed.changed, by)
            self._look_again()
        return Progress(done=changed.changed, left=changed.left, next=_Place(place.began_at_ms, changed.next).text)

    async def pause(self, name: str, *, by: str) -> None:
        """Sends the endpoint nothing until ``resume``, over restarts too; what it is owed is kept, and grows.

        Attempts under way end as they will. Age goes on: past ``max_age`` deliveries die.

        :raises UsageError: there is no such endpoint, or it is not configured any more.
        """
        endpoint = await self._endpoint(name)
        if endpoint.state is EndpointState.REMOVED:
            raise UsageError(f"Endpoint {name!r} is not configured any more: it is sent nothing as it is.")
        await self._set(endpoint, EndpointState.PAUSED, f"paused by {by}")
        if self._worker is not None:
            self._worker.pause(endpoint.endpoint_id)

    async def resume(self, name: str, *, by: str) -> None:
        """Sends to an endpoint again that is paused, or disabled.

        :raises UsageError: there is no such endpoint, or it is not configured any more.
        """
        endpoint = await self._endpoint(name)
        if endpoint.state is EndpointState.REMOVED:
            raise UsageError(f"Endpoint {name!r} is not configured any more; configure it to have it sent to.")
        await self._set(endpoint, EndpointState.ACTIVE, "")
        _log.info("Endpoint %s is resumed by %s.", name, by)
        if self._worker is not None:
            self._worker.resume(endpoint.endpoint_id)

    async def _set(self, endpoint: EndpointStatus, state: EndpointState, reason: str) -> None:
        now_ms = self._clock.now_ms()
        await self._store.set_endpoint_state(endpoint.endpoint_id, state, reason=reason, now_ms=now_ms)
        if reason:
            _log.info("Endpoint %s is %s.", endpoint.name, reason)

    async def _unblock(
        self, selection: Selection, selector: Selector, place: _Place, limit: int, *, dry_run: bool
    ) -> Progress:
        _check_unblocks(selection)
        if dry_run:
            return await self._blocked(selector, place, limit)
        unblocked = await self._store.unblock(
            selector.endpoint_id,
            selector.ordering_key,
            after=place.cursor,
            limit=limit,
            now_ms=self._clock.now_ms(),
        )
        if unblocked.lanes:
            self._look_again()
        return Progress(done=unblocked.lanes, next=_Place(place.began_at_ms, unblocked.next).text)

    async def _blocked(self, selector: Selector, place: _Place, limit: int) -> Progress:
        if selector.ordering_key is None:
            meant = [one for one in await self.endpoints() if selector.endpoint_id in (None, one.endpoint_id)]
            return Progress(done=sum(endpoint.blocked for endpoint in meant))
        dead = msgspec.structs.replace(selector, states=(DeliveryState.DEAD,))
        found = await self._store.find(dead, after=place.cursor, limit=limit)
        blocking = sum(delivery.blocks for delivery in found.deliveries)
        return Progress(done=blocking, next=_Place(place.began_at_ms, found.next).text)

    async def _selector(self, selection: Selection) -> Selector:
        _check_moments(selection)
        endpoint_id = None if selection.endpoint is None else (await self._endpoint(selection.endpoint)).endpoint_id
        return Selector(
            states=selection.states,
            endpoint_id=endpoint_id,
            ordering_key=selection.lane,
            room_name=selection.room,
            event_id=selection.event_id,
            since_ms=selection.since_ms,
            until_ms=selection.until_ms,
        )

    async def _endpoint(self, name: str) -> EndpointStatus:
        known = {endpoint.name: endpoint for endpoint in await self._store.endpoints()}
        if name not in known:
            raise UsageError(f"There is no endpoint {name!r}; there are: {', '.join(known) or 'none'}.")
        return known[name]

    def _place(self, after: str) -> _Place:
        if not after:
            return _Place(self._clock.now_ms())
        match = _PLACE.fullmatch(after)
        if match is None:
            raise UsageError(f"{after[:60]!r} is no place to go on from; take it from what was told last.")
        began_at_ms, event, lane_id = map(int, match.groups())
        return _Place(began_at_ms, Cursor(event, LaneId(lane_id)))

    def _look_again(self) -> None:
        if self._worker is not None:
            self._worker.look_again()


def _checked_limit(limit: int, most: int) -> int:
    if not 1 <= limit <= most:
        raise UsageError(f"limit must be from 1 to {most}, not {limit}.")
    return limit


def _check_moments(selection: Selection) -> None:
    for name, at_ms in (("since_ms", selection.since_ms), ("until_ms", selection.until_ms)):
        if at_ms is not None and abs(at_ms) > MOMENT_MS_MAX:
            raise UsageError(f"{name} is no time: it is given in UTC milliseconds since 1970.")


def _check_unblocks(selection: Selection) -> None:
    """A lane is unblocked whole: what tells deliveries apart says nothing about it."""
    named = Selection(endpoint=selection.endpoint, lane=selection.lane)
    if selection != named:
        raise UsageError("Lanes are unblocked by endpoint and lane alone; leave out room, event, states and times.")
