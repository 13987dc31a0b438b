"""An inbox that has been started: its store, its engine, and what runs beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from roombell import wiring
from roombell.engine.announcer import Watch
from roombell.engine.core import STORE_GRACE_S, Engine, EngineSettings, Submitted
from roombell.engine.hooks import DeliveryDead, EndpointFailing, EndpointRecovered, Hooks, Record
from roombell.engine.lifecycle import BackgroundLoop, abandon_all
from roombell.engine.model import EndpointState, EndpointStatus
from roombell.engine.operator import Operator
from roombell.engine.ports import Store
from roombell.engine.router import EndpointPolicy
from roombell.errors import StoreLocked
from roombell.events import WebhookEvent
from roombell.events.names import DERIVED_TYPES
from roombell.inbox.registered import Registered
from roombell.inbox.rooms import RETRY, ROOMS, RoomKeeper, Rooms
from roombell.settings import StoreSettings
from roombell.transport.handlers import HandlerTarget, HandlerTransport

ROOMS_TIMEOUT_S: Final = 30.0
_log: Final = logging.getLogger("roombell.inbox")


class Running:
    """Handlers are called until ``stop``. Belongs to the event loop that ``start`` was awaited on."""

    def __init__(
        self,
        store: Store,
        registered: Registered,
        statuses: Mapping[str, EndpointStatus],
        *,
        clock: wiring.FollowingClock,
        hooks: Hooks,
        retention_ms: int,
        rooms: Rooms | None,
        loops: Sequence[BackgroundLoop],
    ) -> None:
        self.store, self.rooms, self._clock = store, rooms, clock
        self._ids = {name: status.endpoint_id for name, status in statuses.items()}
        targets, policies = registered.targets(self._ids), registered.policies(statuses)
        if rooms is not None:
            rooms_id = self._ids[ROOMS]
            targets[rooms_id] = HandlerTarget(ROOMS, rooms, ROOMS_TIMEOUT_S)
            policies = (*policies, EndpointPolicy(rooms_id, ROOMS, retry=RETRY, adaptive=False, internal=True))
            loops = (*loops, RoomKeeper(rooms))
        self._transport = HandlerTransport(targets, clock=clock)
        bounds = EngineSettings(owner=wiring.new_owner(), retention_ms=retention_ms)
        draws, fleet = wiring.system_random(), wiring.fleet_of(store)
        self.engine = Engine(store, self._transport, clock, draws, hooks, bounds, fleet=fleet)
        # What was known of the handlers' health is left behind: this may be the release that mends them.
        self.engine.configure(policies)
        self.operator = Operator(store, clock, self.engine)
        self._loops = (Watch(store, clock, hooks, internal=""), *loops)

    def start(self) -> None:
        """Begins to take events and to call handlers."""
        self.engine.start()
        for loop in self._loops:
            loop.start()

    async def stop(self, grace_s: float) -> None:
        """Takes no more events, gives calls under way ``grace_s`` to end, and closes the store."""
        try:
            await self._stop_loops()
            await self.engine.stop(grace_s)
        finally:
            await self._transport.close()
            self._clock.follow(None)
            await self.store.close()

    async def _stop_loops(self) -> None:
        """A database of the user's may not answer, and neither may one whose connections the handlers have."""
        try:
            async with asyncio.timeout(STORE_GRACE_S):
                for loop in self._loops:
                    await loop.stop()
        except TimeoutError:
            await abandon_all(self._loops)

    def submit(self, event_id: str, event: WebhookEvent, handlers: Sequence[str]) -> Submitted:
        """Takes an event for the handlers with these names, and for the room state. The future ends when it is on disk.

        :raises Overloaded: a bound was reached; nothing was taken.
        :raises Stopped: it does not run any more.
        """
        to = [self._ids[name] for name in handlers]
        if self.rooms is not None and event.type not in DERIVED_TYPES:
            to.append(self._ids[ROOMS])
        return self.engine.submit(event_id, event.type, event.ordering_key, event.room_name, event.raw, to=tuple(to))


async def opened(settings: StoreSettings) -> Store:
    """The store, open.

    :raises StoreError: it cannot be opened; the message names the mend.
    """
    store = wiring.make_store(settings)
    try:
        await store.open()
    except StoreLocked as error:
        raise StoreLocked(
            f"{error} An inbox on a SQLite file belongs to one process: run one worker, or give all of them one "
            "PostgreSQL (store='postgresql://…')."
        ) from error
    return store


async def tell_of_orphans(store: Store) -> None:
    """Says in the log which handlers are gone and still owed events."""
    for status in await store.endpoints():
        if status.state is EndpointState.REMOVED and status.pending and status.name != ROOMS:
            _log.warning(
                "There is no handler %s any more, and it has not handled %d events, which are kept. If it was renamed, "
                "give the new one the old name: @inbox.handler(HandlerSettings(name=%r)).",
                status.name, status.pending, status.name,
            )  # fmt: skip


def log_trouble(record: Record) -> None:
    """A hook: what whoever runs the application should see."""
    match record:
        case DeliveryDead(handler, event_id, event_type, reason, attempts):
            _log.error(
                "%s has not handled %s %s, which is given up after %d attempts: %s. It is kept for a redrive.",
                handler, event_type, event_id, attempts, reason,
            )  # fmt: skip
        case EndpointFailing(handler, reason):
            _log.error("%s fails at everything; it is tried now and then, and its events are kept: %s", handler, reason)
        case EndpointRecovered(handler, down_ms):
            _log.warning("%s works again after %d s.", handler, down_ms // 1000)
        case _:
            pass
