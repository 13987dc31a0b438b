"""The notifier: room events in, signed webhooks out, in order, none lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from roombell import wiring
from roombell.engine.announcer import Announcer, Watch
from roombell.engine.by_hand import ByHand
from roombell.engine.core import Engine, Submitted
from roombell.engine.hooks import Hook, Hooks, Record
from roombell.engine.lifecycle import BackgroundLoop, abandon_all
from roombell.engine.model import EndpointId, EndpointStatus
from roombell.engine.operator import Operator
from roombell.engine.ports import Store
from roombell.errors import DeliverOnly, Overloaded, Stopped, StoreError, UsageError
from roombell.events import WebhookEvent, parse
from roombell.settings import (
    OPERATIONS,
    EndpointSettings,
    Keys,
    Role,
    Settings,
    StoreSettings,
    checked_endpoint,
    name_of_url,
)
from roombell.transport.http import HttpTransport
from roombell.transport.target import HttpTarget

if TYPE_CHECKING:
    from typing import Self

    from livekit.protocol.webhook import WebhookEvent as OfficialEvent

    Event = bytes | WebhookEvent | OfficialEvent

EVENTS_PER_CALL_MAX = 1000
"""How many events of one ``notify_many`` wait for the store at once."""
_OVERLOADED_PAUSE_S = 0.05


class Receipt(msgspec.Struct, frozen=True):
    """An event is on disk, and so is what it owes each endpoint."""

    id: str
    """The event's id."""
    duplicate: bool
    """It was there already; nothing was written."""


class Notifier(ByHand):
    """Stores room events durably and delivers each to every endpoint that wants it.

    ::

        async with Notifier(keys={"APIabc": "secret"}, urls=["https://app.example.com/livekit"]) as notifier:
            await notifier.notify(event)

    Deliveries are signed as LiveKit signs, sent in order per resource, and retried until they are delivered or given
    up. What is undelivered when the notifier stops, or its process dies, is delivered when one is started again on
    the same store. Use it within one event loop. Several may run in one process, each on a store of its own.

    :param keys: API secrets by key name.
    :param urls: where every event goes.
    :param api_key: which of ``keys`` signs for ``urls``; may be left out when there is one key.
    :param endpoints: more endpoints, each with filters, headers and limits of its own.
    :param store: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``postgresql://user:password@host/database``,
        which any number of notifiers may have open, or ``memory:``, which keeps nothing.
    :param retention: how long settled events and their attempts are kept.
    :param operations: a URL that operational events are posted to, signed by ``api_key``: endpoints that fail, recover
        or are disabled, deliveries given up, backlogs that grow.
    :param hooks: called with a frozen record for each thing that happens (``roombell.engine.hooks``); quick, plain
        callables. What they raise never reaches a delivery.
    :raises UsageError: a key, URL, endpoint or store is wrong; the message names it and the mend.
    """

    def __init__(
        self,
        *,
        keys: Mapping[str, str],
        urls: Iterable[str] = (),
        api_key: str = "",
        endpoints: Iterable[EndpointSettings] = (),
        store: str = "sqlite:///roombell.db",
        retention: timedelta = timedelta(days=7),
        operations: str = "",
        hooks: Iterable[Hook] = (),
    ) -> None:
        keys = Keys(keys)
        settings = Settings(
            keys=keys,
            endpoints=(*_endpoints_of(urls, keys, api_key), *endpoints),
            store=StoreSettings.of_url(store),
            retention_ms=wiring.retention_ms(retention),
            operations=_operations(operations, keys, api_key),
        )
        self._prepare(settings, hooks)

    @classmethod
    def from_settings(
        cls, settings: Settings, *, hooks: Iterable[Hook] = (), clock: wiring.FollowingClock | None = None
    ) -> Self:
        """A notifier for settings that were read from a file.

        :param clock: follows the store's while the notifier runs.
        """
        notifier = cls.__new__(cls)
        notifier._prepare(settings, hooks, clock)  # noqa: SLF001 - the other constructor
        return notifier

    def _prepare(self, settings: Settings, hooks: Iterable[Hook], clock: wiring.FollowingClock | None = None) -> None:
        settings, _ = _checked(settings)
        wiring.check_role(settings)
        self._settings = settings
        self._clock = clock or wiring.FollowingClock()
        self._announcer = Announcer(
            self._clock, self._submit_operation, internal=OPERATIONS, new_id=wiring.new_event_id
        )
        self._hooks = Hooks((*hooks, self._observe))
        self._operations_id: EndpointId | None = None
        self._loops: tuple[BackgroundLoop, ...] = ()
        self._operator: Operator | None = None
        self._store: Store | None = None
        self._transport: HttpTransport | None = None
        self._engine: Engine | None = None

    async def start(self) -> None:
        """Opens the store and begins to deliver what it holds. ``async with`` does it.

        :raises StoreLocked: another notifier has the store open.
        :raises StoreError: the store cannot be opened; the message names the file or database, and the mend.
        """
        if self._engine is not None:
            raise UsageError("This notifier is running already.")
        store = wiring.make_store(self._settings.store)
        await store.open()
        self._clock.follow(store)
        try:
            statuses = await store.register(_names(self._settings), now_ms=self._clock.now_ms())
            transport = wiring.make_transport(self._settings, statuses, self._clock)
            bounds = wiring.engine_settings(self._settings)
            draws, fleet = wiring.system_random(), wiring.fleet_of(store)
            engine = Engine(store, transport, self._clock, draws, self._hooks, bounds, fleet=fleet)
            engine.configure(wiring.endpoint_policies(self._settings, statuses), wiring.healths(statuses))
        except BaseException:
            self._clock.follow(None)
            await store.close()
            raise
        self._store, self._transport, self._engine = store, transport, engine
        self._operator = Operator(store, self._clock, engine)
        self._operations_id = _operations_id(statuses)
        engine.start()
        self._loops = (self._announcer, Watch(store, self._clock, self._hooks, internal=OPERATIONS))
        for loop in self._loops:
            loop.start()

    async def stop(self, *, grace_s: float | None = None) -> None:
        """Takes no more events, lets attempts under way end within ``grace_s``, and closes the store.

        ``async with`` does it. Nothing is lost: what was not delivered is in the store. Calling it again is fine. Where
        the caller is cancelled, attempts are cut, and the store is closed all the same.
        """
        loops, self._loops = self._loops, ()
        engine, self._engine, self._operator = self._engine, None, None
        if engine is None or self._store is None or self._transport is None:
            return
        try:
            for loop in loops:
                await loop.stop()
            await engine.stop(self._settings.stop_timeout_ms / 1000 if grace_s is None else grace_s)
        except asyncio.CancelledError:
            await abandon_all(loops)
            await engine.stop(0.0)
            raise
        finally:
            await self._transport.close()
            self._clock.follow(None)
            await self._store.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def notify(self, event: Event) -> Receipt:
        """Returns when the event is on disk with all its deliveries.

        :param event: an event's JSON as LiveKit sends it, an official ``livekit.protocol.webhook.WebhookEvent``, or
            what ``roombell.parse`` or an ``EventBuilder`` made. A message without id or time is given them.
        :raises EventError: the bytes are no webhook event.
        :raises Overloaded: too much waits to be written; nothing was taken. ``retry_after_s`` says when to try again.
        :raises StoreError: it could not be written. Send it again: the id keeps it from being stored twice.
        :raises Stopped: the notifier is not running.

        When the caller is cancelled the event may be stored all the same.
        """
        event = _event(event)
        accepted = await self.submit(event)
        return Receipt(event.id, accepted.duplicate)

    async def notify_many(self, events: Iterable[Event]) -> list[Receipt]:
        """``notify`` for many: they share commits, and keep their order. Returns when all are on disk.

        Waits instead of raising ``Overloaded``. Any other error is raised when it is met; events before the failing
        one may be on disk by then, and sending all again is safe.
        """
        receipts: list[Receipt] = []
        parsed = [_event(event) for event in events]
        for start in range(0, len(parsed), EVENTS_PER_CALL_MAX):
            some = parsed[start : start + EVENTS_PER_CALL_MAX]
            accepted = await asyncio.gather(*[await self._submit_when_possible(event) for event in some])
            receipts += [Receipt(event.id, one.duplicate) for event, one in zip(some, accepted, strict=True)]
        return receipts

    async def _submit_when_possible(self, event: WebhookEvent) -> Submitted:
        while True:
            try:
                return self.submit(event)
            except Overloaded:
                await asyncio.sleep(_OVERLOADED_PAUSE_S)

    def submit(self, event: WebhookEvent) -> Submitted:
        """Takes an event without waiting. The future ends when it is on disk, or with a ``StoreError``.

        :raises Overloaded: too much waits to be written; nothing was taken.
        :raises DeliverOnly: this worker takes no events.
        :raises Stopped: the notifier is not running.
        """
        if self._settings.role is Role.DELIVER:
            raise DeliverOnly
        return self._running.submit(event.id, event.type, event.ordering_key, event.room_name, event.raw)

    async def drain(self, *, timeout_s: float | None = None) -> None:
        """Returns when every endpoint that is sent to has all that it is owed.

        :raises TimeoutError: ``timeout_s`` passed first. Deliveries go on.
        """
        async with asyncio.timeout(timeout_s):
            await self._running.drain()

    async def endpoints(self) -> tuple[EndpointStatus, ...]:
        """Every endpoint with its state and what it is owed; removed ones too, while they are owed something."""
        if self._store is None or self._engine is None:
            raise Stopped("The notifier is not running.")
        return await self._store.endpoints()

    async def reconfigure(self, settings: Settings) -> None:
        """Takes over keys and endpoints while running.

        Endpoints that are listed are sent to, those that were disabled too. What others are owed is kept, unsent,
        until they are listed again or it grows too old. Store, retention and limits stay as they were.

        :raises UsageError: a key or endpoint is wrong; nothing has changed.
        :raises StoreError: the store cannot take it; nothing has changed.
        """
        settings, targets = _checked(settings)
        engine, store, transport = self._running, self._store, self._transport
        assert store is not None
        assert transport is not None
        statuses = await store.register(_names(settings), now_ms=self._clock.now_ms())
        self._settings = settings
        transport.configure(
            {statuses[name].endpoint_id: target for name, target in targets.items()}, wiring.key_ring(settings)
        )
        engine.configure(wiring.endpoint_policies(settings, statuses), wiring.healths(statuses))
        self._operations_id = _operations_id(statuses)

    @property
    def operator(self) -> Operator:
        if self._operator is None:
            raise Stopped("The notifier is not running. Start it with `async with` or `start()`.")
        return self._operator

    @property
    def settings(self) -> Settings:
        """What it runs with now."""
        return self._settings

    @property
    def running(self) -> bool:
        """Whether events are taken."""
        return self._engine is not None and self._engine.running

    @property
    def waiting(self) -> int:
        """Events that wait for a commit."""
        return self._engine.waiting if self._engine else 0

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return self._engine.in_flight if self._engine else 0

    @property
    def last_error(self) -> StoreError | None:
        """Why the last commit failed; None if it did not."""
        return self._engine.last_error if self._engine else None

    @property
    def _running(self) -> Engine:
        if self._engine is None:
            raise Stopped("The notifier is not running. Start it with `async with` or `start()`.")
        return self._engine

    def _observe(self, record: Record) -> None:
        if self._operations_id is not None:
            self._announcer.observe(record)

    def _submit_operation(self, event_id: str, event_type: str, ordering_key: str, body: bytes) -> Submitted:
        if self._operations_id is None:
            raise Stopped("Operational events go nowhere any more: the configuration names no URL for them.")
        return self._running.submit(event_id, event_type, ordering_key, "", body, to=(self._operations_id,))


def _names(settings: Settings) -> tuple[str, ...]:
    return tuple(endpoint.name for endpoint in settings.destinations)


def _event(event: Event) -> WebhookEvent:
    if isinstance(event, WebhookEvent):
        return event
    if isinstance(event, bytes | bytearray | memoryview):
        return parse(bytes(event))
    if hasattr(event, "SerializeToString"):
        return wiring.event_builder().from_message(event)
    raise UsageError(f"An event is bytes or a WebhookEvent, not {type(event).__name__}.")


def _endpoints_of(urls: Iterable[str], keys: Keys, api_key: str) -> Iterable[EndpointSettings]:
    if isinstance(urls, str):
        raise UsageError("urls is a list of URLs, not one string.")
    for url in dict.fromkeys(urls):
        yield EndpointSettings(name=name_of_url(url), url=url, api_key=_signer(keys, api_key))


def _signer(keys: Keys, api_key: str) -> str:
    signer = api_key or (next(iter(keys)) if len(keys) == 1 else "")
    if not signer:
        raise UsageError("api_key is needed: it says which of the keys signs.")
    return signer


def _operations(url: str, keys: Keys, api_key: str) -> EndpointSettings | None:
    return EndpointSettings(name=OPERATIONS, url=url, api_key=_signer(keys, api_key)) if url else None


def _operations_id(statuses: Mapping[str, EndpointStatus]) -> EndpointId | None:
    return statuses[OPERATIONS].endpoint_id if OPERATIONS in statuses else None


def _checked(settings: Settings) -> tuple[Settings, dict[str, HttpTarget]]:
    """The settings with every value of its type, and where their endpoints are: files are read here, once."""
    wiring.key_ring(settings)
    endpoints = tuple(checked_endpoint(endpoint) for endpoint in settings.endpoints)
    settings = msgspec.structs.replace(settings, endpoints=endpoints)
    targets: dict[str, HttpTarget] = {}
    for endpoint in settings.destinations:
        if endpoint.name in targets:
            raise UsageError(f"Two endpoints have the name {endpoint.name!r}; give each its own.")
        targets[endpoint.name] = wiring.http_target(endpoint)
        if endpoint.api_key not in settings.keys:
            raise UsageError(f"Endpoint {endpoint.name!r}: API key {endpoint.api_key!r} is not among the keys.")
    return settings, targets
