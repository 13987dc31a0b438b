"""The inbox: verified webhooks in, durably; handlers behind it, in order, until each has done its work."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from roombell import wiring
from roombell.engine.by_hand import ByHand
from roombell.engine.hooks import Hook, Hooks
from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.model import EndpointStatus
from roombell.engine.operator import Operator
from roombell.engine.ports import Store
from roombell.errors import Overloaded, Stopped, StoreError, UsageError
from roombell.events import WebhookEvent
from roombell.inbox.collapse import Collapse, inbox_id, rules
from roombell.inbox.derived import derived, event_of
from roombell.inbox.given import check, store_settings
from roombell.inbox.registered import Registered, SettingsOf
from roombell.inbox.rooms import Rooms
from roombell.inbox.runner import Home, LoopThread
from roombell.inbox.running import Running, log_trouble, opened, tell_of_orphans
from roombell.inbox.settings import HandlerSettings
from roombell.inbox.shelf import Shelf
from roombell.inbox.transaction import Database, Transaction
from roombell.inbox.upkeep import Forgetter, prepare
from roombell.receiver.delivery import DeliveryInfo
from roombell.receiver.gaps import LaneWatch
from roombell.receiver.receiver import Receiver
from roombell.receiver.room_state import InRoom, RoomLimits, RoomNow
from roombell.receiver.views import Ingress, ParticipantKind, Recording

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeVar as TypeVarWithDefault

    T = TypeVarWithDefault("T", default=object)
else:
    T = TypeVar("T")
H = TypeVar("H")

STOP_TIMEOUT_S: Final = 5.0
"""How long calls under way may take to end when the inbox stops; what is cut is done again at the next start."""
PUT_TIMEOUT_S: Final = 10.0
"""How long a thread waits for an event to be on disk before the sender is told to come again."""


class Inbox(ByHand, Generic[T]):
    """Takes a receiver's events durably, and calls its handlers behind that.

    ::

        receiver = Receiver(keys={"APIabc": "secret"})
        inbox = Inbox(receiver, store="sqlite:///inbox.db")
        app = FastAPI(lifespan=inbox.lifespan)

    A webhook is answered 200 when it is on disk. Then each handler gets it: in order for each ordering key, at once for
    different ones, again and again until it returns or the event is given up, over crashes and restarts too. What one
    handler does neither repeats nor delays what another one does. An event that comes twice is taken once.

    Use it as ``async with``, as an application's ``lifespan``, or, where there is no event loop, by
    ``start_in_thread``. A SQLite file has one inbox at a time; one PostgreSQL serves any number of processes.

    :param receiver: verifies, and knows the handlers; from now on it hands over all events. Register the handlers
        before the inbox starts.
    :param store: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``postgresql://…``, or ``memory:``, which keeps
        nothing.
    :param database: where ``transaction`` writes: one of those in ``roombell.inbox.databases``.
    :param defaults: how handlers are called that ``handler`` says nothing of.
    :param collapse: the rules by which events with different ids count as one; empty for none.
    :param rooms: keeps who is in which room and what is recorded, for ``rooms``, ``participants``, ``recordings`` and
        ``ingresses``, and makes the events ``room_complete`` and ``anomaly``; ``RoomLimits`` to say how.
    :param retention: how long events are kept when all is done with them, and known as repeats.
    :param hooks: called with a frozen record for each thing that happens (``roombell.engine.hooks``).
    :raises UsageError: the receiver has an inbox already, or something that is given is wrong.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        store: str = "sqlite:///inbox.db",
        database: Database[T] | None = None,
        defaults: HandlerSettings = HandlerSettings(),
        collapse: Iterable[Collapse] = tuple(Collapse),
        rooms: bool | RoomLimits = False,
        retention: timedelta = timedelta(days=7),
        hooks: Iterable[Hook] = (),
    ) -> None:
        check(receiver, database, defaults, retention)
        self._store = store_settings(store, database)
        self._room_limits = RoomLimits() if rooms is True else rooms or None
        self._retention_ms = wiring.retention_ms(retention)
        self._receiver, self._database = receiver, database
        self._settings = SettingsOf(defaults)
        self._collapse = rules(collapse)
        self._clock = wiring.FollowingClock()
        self._hooks = Hooks((*hooks, log_trouble))
        self._registered = Registered((), self._settings)
        self._lanes: LaneWatch | None = None
        self._running: Running | None = None
        self._starting = False
        self._stopping: asyncio.Task[None] | None = None
        self._home: Home | None = None
        self._thread: LoopThread | None = None
        receiver.use(self, self.transaction)

    def handler(self, settings: HandlerSettings) -> Callable[[H], H]:
        """Says how the decorated function is called.

        ::

            @receiver.on("egress_ended")
            @inbox.handler(HandlerSettings(timeout_s=300, concurrency=2))
            def publish(event): ...

        The function stays as it is.
        """
        if not isinstance(settings, HandlerSettings):
            raise UsageError("`handler` takes settings: `@inbox.handler(HandlerSettings(timeout_s=60))`.")

        def give(function: H) -> H:
            self._settings.give(function, settings)
            return function

        return give

    async def start(self) -> None:
        """Opens the store and begins to call handlers with what it holds. ``async with`` does it.

        :raises StoreLocked: another process has the store open.
        :raises StoreError: the store or the database cannot be used; the message names the mend.
        :raises UsageError: it is running already, or two handlers have one name.
        """
        if self._running is not None or self._starting:
            raise UsageError("This inbox is running already.")
        self._starting = True
        try:
            await self._wait_for_stop()
            await self._start()
        finally:
            self._starting = False

    async def _start(self) -> None:
        registered = Registered(self._receiver.handlers, self._settings)
        if self._database is not None:
            await prepare(self._database)
        store = await opened(self._store)
        self._clock.follow(store)
        try:
            rooms = self._make_rooms(store)
            names = registered.names if rooms is None else (*registered.names, rooms.name)
            statuses = await store.register(names, now_ms=self._clock.now_ms())
            await tell_of_orphans(store)
            running = Running(
                store,
                registered,
                statuses,
                clock=self._clock,
                hooks=self._hooks,
                retention_ms=self._retention_ms,
                rooms=rooms,
                loops=self._own_loops(registered),
            )
        except BaseException:
            self._clock.follow(None)
            await store.close()
            raise
        self._home = Home()
        self._registered, self._running = registered, running
        running.start()

    async def stop(self, *, grace_s: float = STOP_TIMEOUT_S) -> None:
        """Takes no more events, lets calls under way end within ``grace_s``, and closes the store.

        Nothing is lost: what is cut is done again at the next start. Calling it again is fine. When the caller is
        cancelled it goes on.
        """
        running, self._running = self._running, None
        if running is not None:
            self._stopping = asyncio.get_running_loop().create_task(running.stop(grace_s), name="roombell inbox stop")
        await self._wait_for_stop()

    async def _wait_for_stop(self) -> None:
        stopping = self._stopping
        if stopping is not None:
            await asyncio.shield(stopping)
            if self._stopping is stopping:
                self._stopping = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Runs the inbox for as long as the application: ``FastAPI(lifespan=inbox.lifespan)``, and so for Starlette,
        Litestar (in a list) and aiohttp (in ``cleanup_ctx``).
        """
        async with self:
            yield

    def start_in_thread(self) -> None:
        """Starts the inbox in an event loop and a thread of its own, for WSGI and whatever else has no loop.

        Call it in the process that serves, after it was forked. It is stopped when the process ends, or by
        ``stop_in_thread``. Asynchronous handlers run in that loop.

        :raises: what ``start`` raises.
        """
        if self._thread is not None:
            raise UsageError("This inbox is running already.")
        thread = LoopThread()
        try:
            thread.submit(self.start()).result()
        except BaseException:
            thread.close()
            raise
        self._thread = thread
        atexit.register(self.stop_in_thread)

    def stop_in_thread(self, *, grace_s: float = STOP_TIMEOUT_S) -> None:
        """``stop`` for what ``start_in_thread`` started."""
        atexit.unregister(self.stop_in_thread)
        thread, self._thread = self._thread, None
        if thread is None or self._home is None or not self._home.is_of_this_process:
            return
        try:
            thread.submit(self.stop(grace_s=grace_s)).result()
        finally:
            thread.close()

    def transaction(self, event: WebhookEvent) -> Transaction[T]:
        """A transaction of ``database`` that commits once for the running handler and this event::

            async with inbox.transaction(event) as session:
                session.add(Attendance(...))

        What is written in it, and the fact that the handler is done with the event, commit together. Where an earlier
        call has committed, entering it raises ``AlreadyDone``, which is to be let through: the event is done. So it is
        best the last thing that a handler does. ``with`` for databases that are used by plain functions.

        :raises UsageError: no ``database`` was given; or, when it is entered, no handler is running.
        """
        if self._database is None:
            raise UsageError(
                "The inbox has no database for transactions: `Inbox(receiver, database=…)` with one of those in "
                "`roombell.inbox.databases`."
            )
        return Transaction(self._database, event)

    async def put(self, event: WebhookEvent, delivery: DeliveryInfo) -> bool:
        """Returns when the event is on disk; True means that it was there already. The receiver calls it.

        :raises Overloaded: too much waits to be written; nothing was taken.
        :raises StoreError: it could not be written.
        :raises Stopped: the inbox is not running.
        """
        if self._home is not None and self._home.is_here:
            return await self._put(event, delivery)
        return await asyncio.wrap_future(self._put_elsewhere(event, delivery))

    def put_blocking(self, event: WebhookEvent, delivery: DeliveryInfo) -> bool:
        """``put`` for callers in other threads than the inbox'.

        :raises UsageError: it is called in the inbox' event loop.
        """
        if self._home is not None:
            self._home.check_elsewhere()
        future = self._put_elsewhere(event, delivery)
        try:
            return future.result(PUT_TIMEOUT_S)
        except concurrent.futures.TimeoutError:
            raise Overloaded(f"The event was not on disk within {PUT_TIMEOUT_S:g} s. Send it again.") from None

    async def _put(self, event: WebhookEvent, delivery: DeliveryInfo) -> bool:
        duplicate = await self._take(event)
        if self._lanes is not None and delivery.is_numbered:
            for body in derived(self._lanes.observe(event, delivery)):
                await self._take(event_of(body))
        return duplicate

    async def _take(self, event: WebhookEvent) -> bool:
        running = self._run()
        handlers = self._registered.names_of(self._receiver.handlers.matching(event.type))
        return (await running.submit(inbox_id(event, self._collapse), event, handlers)).duplicate

    def _put_elsewhere(self, event: WebhookEvent, delivery: DeliveryInfo) -> concurrent.futures.Future[bool]:
        """Puts it in the inbox' own loop, which runs in another thread."""
        self._run()
        assert self._home is not None, "it is running"
        return asyncio.run_coroutine_threadsafe(self._put(event, delivery), self._home.loop)

    async def drain(self, *, timeout_s: float | None = None) -> None:
        """Returns when no handler that works has anything to do.

        :raises TimeoutError: ``timeout_s`` passed first. Handlers go on.
        """
        async with asyncio.timeout(timeout_s):
            await self._run_here().engine.drain()

    async def endpoints(self) -> tuple[EndpointStatus, ...]:
        """Every handler with its state and what it has not done yet; removed ones too, while they are owed some."""
        return await self._run_here().store.endpoints()

    async def rooms(self, *, provisional: bool = False) -> tuple[RoomNow, ...]:
        """The rooms that are there now.

        :param provisional: also those that may be made up by DeleteRoom: started right after an end, and empty.
        :raises UsageError: the inbox was not told to keep ``rooms``.
        """
        return await self._rooms().rooms(provisional=provisional)

    async def participants(self, room: str, *, kinds: Collection[ParticipantKind] | None = None) -> tuple[InRoom, ...]:
        """Who is in the room now, in the order of their coming; of ``kinds`` alone where they are given.

        :raises UsageError: the inbox was not told to keep ``rooms``.
        """
        return await self._rooms().participants(room, kinds)

    async def recordings(self, room: str, *, going: bool | None = None) -> tuple[Recording, ...]:
        """The room's recordings, ended ones too as long as they are remembered; those of web pages in the room ``""``.

        :param going: true for those that go on alone, false for those that ended.
        :raises UsageError: the inbox was not told to keep ``rooms``.
        """
        return await self._rooms().recordings(room, going=going)

    async def ingresses(self, room: str) -> tuple[Ingress, ...]:
        """The room's ingresses that media comes in by.

        :raises UsageError: the inbox was not told to keep ``rooms``.
        """
        return await self._rooms().ingresses(room)

    @property
    def operator(self) -> Operator:
        return self._run_here().operator

    @property
    def running(self) -> bool:
        """Whether events are taken."""
        return self._running is not None and self._running.engine.running

    @property
    def last_error(self) -> StoreError | None:
        """Why the last commit failed; None if it did not."""
        return None if self._running is None else self._running.engine.last_error

    def _run(self) -> Running:
        if self._running is None or self._home is None:
            raise Stopped(
                "The inbox is not running. Start it with `async with`, as the application's lifespan, or with "
                "`start_in_thread()`."
            )
        self._home.check()
        return self._running

    def _run_here(self) -> Running:
        running = self._run()
        if self._home is not None:
            self._home.check_here()
        return running

    def _make_rooms(self, store: Store) -> Rooms | None:
        if self._room_limits is None:
            return None
        # Holes in the sender's numbering can be told only where all that it sends is seen.
        self._lanes = None if store.shared else LaneWatch()
        return Rooms(Shelf(store), self._clock, self._take, self._room_limits)

    def _rooms(self) -> Rooms:
        rooms = self._run_here().rooms
        if rooms is None:
            raise UsageError("This inbox keeps no room state: make it with `Inbox(receiver, rooms=True)`.")
        return rooms

    def _own_loops(self, registered: Registered) -> tuple[BackgroundLoop, ...]:
        if self._database is None:
            return ()
        # An event is forgotten when its last delivery has ended, and that may be as late as a delivery may grow old.
        kept_ms = self._retention_ms + registered.max_age_ms
        return (Forgetter(self._database, self._clock, kept_ms=kept_ms),)
