"""From settings to the parts of a running system. The only place that picks a store, a transport, a clock."""

from __future__ import annotations

import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from roombell.engine.admission import AdmissionLimits
from roombell.engine.core import EngineSettings
from roombell.engine.lanes import HeldLimits
from roombell.engine.model import EndpointId, EndpointStatus
from roombell.engine.ports import Clock, Fleet, Store
from roombell.engine.router import EndpointPolicy
from roombell.errors import UsageError
from roombell.events import EventBuilder
from roombell.settings import OPERATIONS, EndpointSettings, Role, Settings, StoreKind, StoreSettings
from roombell.signing import KeyRing
from roombell.stores.memory import MemoryStore
from roombell.stores.postgres.url import PostgresUrl
from roombell.stores.sqlite.client import SqliteStore
from roombell.transport.http import HttpTransport
from roombell.transport.proxy import parse_proxy, proxy_from_environment
from roombell.transport.target import HttpTarget
from roombell.transport.tls import ClientTls, TlsFileError, TlsSettings, read_tls
from roombell.transport.url import EndpointUrl, parse_url

if TYPE_CHECKING:
    from roombell.stores.postgres.inspect import PostgresReport
    from roombell.stores.postgres.moving import PostgresTarget
    from roombell.stores.postgres.store import PostgresStore


class SystemClock:
    """This machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def cpu_s(self) -> float:
        return time.process_time()


@runtime_checkable
class _Timekeeper(Protocol):
    """A store with a clock of its own, which all of its workers go by."""

    def now_ms(self) -> int:
        """UTC milliseconds since the epoch."""


class FollowingClock(SystemClock):
    """This machine's clock, until it is told to follow a store's: with several workers the database's counts."""

    def __init__(self) -> None:
        self._source: Callable[[], int] | None = None

    def follow(self, store: object) -> None:
        """Tells the time of ``store``, which is open, if it has one of its own; else this machine's."""
        self._source = store.now_ms if isinstance(store, _Timekeeper) else None

    def now_ms(self) -> int:
        return super().now_ms() if self._source is None else self._source()


def system_random() -> random.Random:
    """Draws for jitter, seeded by the system. Nothing secret is made of them."""
    return random.Random()  # noqa: S311


def token_bytes(count: int) -> bytes:
    """So many bytes that nobody can guess."""
    return secrets.token_bytes(count)


def event_builder() -> EventBuilder:
    """Makes events with this machine's clock and randomness."""
    return EventBuilder(now=time.time, token_bytes=token_bytes)


def new_event_id() -> str:
    """An event id that nobody can guess, as LiveKit makes them."""
    return f"EV_{secrets.token_urlsafe(12)}"


def new_owner() -> str:
    """A name for this worker that no other has or had."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def retention_ms(span: timedelta) -> int:
    """How long settled events are kept.

    :raises UsageError: no time at all.
    """
    if span <= timedelta(0):
        raise UsageError("retention must be longer than nothing.")
    return round(span.total_seconds() * 1000)


def key_ring(settings: Settings) -> KeyRing:
    """The keys as signing needs them.

    :raises UsageError: there is none, or one is empty.
    """
    return KeyRing(settings.keys)


def make_store(settings: StoreSettings) -> Store:
    """The store that the settings name, not yet open.

    :raises UsageError: what it needs is not installed.
    """
    if settings.kind is StoreKind.MEMORY:
        return MemoryStore()
    if settings.postgres is not None:
        return _postgres_store(settings.postgres)
    return SqliteStore(settings.path)


def _postgres_store(url: PostgresUrl) -> PostgresStore:
    _check_driver()
    from roombell.stores.postgres.store import PostgresStore

    return PostgresStore(url)


def move_target(url: PostgresUrl) -> PostgresTarget:
    """A database as the store that takes another's place, not yet open.

    :raises UsageError: the driver is not installed.
    """
    _check_driver()
    from roombell.stores.postgres.moving import PostgresTarget

    return PostgresTarget(url)


async def inspect_database(url: PostgresUrl) -> PostgresReport:
    """A store on PostgreSQL as it lies.

    :raises StoreError: it cannot be used.
    :raises UsageError: the driver is not installed.
    """
    _check_driver()
    from roombell.stores.postgres.inspect import inspect

    return await inspect(url)


def _check_driver() -> None:
    if find_spec("asyncpg") is None:
        raise UsageError('A store on PostgreSQL needs a driver: pip install "roombell[postgres]"')


def check_role(settings: Settings) -> None:
    """:raises UsageError: a worker that does one half has nobody to do the other."""
    if settings.role is not Role.ALL and settings.store.kind is not StoreKind.POSTGRESQL:
        raise UsageError(
            f"A worker that only {'takes events' if settings.role is Role.INGEST else 'delivers'} needs others on the "
            "same store: name one on PostgreSQL, as store: postgresql://user:password@host:5432/database"
        )


def fleet_of(store: Store) -> Fleet | None:
    """The other workers on the store, where there can be any."""
    return store if store.shared and isinstance(store, Fleet) else None


def make_transport(settings: Settings, statuses: Mapping[str, EndpointStatus], clock: Clock) -> HttpTransport:
    """A transport that knows the configured endpoints."""
    return HttpTransport(http_targets(settings, statuses), keys=key_ring(settings), clock=clock)


def engine_settings(settings: Settings) -> EngineSettings:
    """The engine's bounds, and a name for this worker that no other has or had."""
    limits = settings.limits
    return EngineSettings(
        owner=new_owner(),
        lease_ms=settings.lease_ms,
        delivers=settings.role is not Role.INGEST,
        retention_ms=settings.retention_ms,
        held=HeldLimits(deliveries_max=limits.held_deliveries_max, body_bytes_max=limits.held_bytes_max),
        admission=AdmissionLimits(waiting_max=limits.accepts_waiting_max, waiting_bytes_max=limits.held_bytes_max),
    )


def http_targets(settings: Settings, statuses: Mapping[str, EndpointStatus]) -> dict[EndpointId, HttpTarget]:
    """The endpoints as the transport knows them, by the ids that the store gave their names."""
    return {statuses[endpoint.name].endpoint_id: http_target(endpoint) for endpoint in settings.destinations}


def http_target(endpoint: EndpointSettings) -> HttpTarget:
    """One endpoint as the transport knows it. Reads the files that its ``tls`` names.

    :raises UsageError: it cannot be sent to; the message names it and the mend.
    """
    target = HttpTarget(
        name=endpoint.name,
        url=endpoint.url,
        api_key=endpoint.api_key,
        headers=endpoint.headers,
        timeout_ms=endpoint.timeout_ms,
        connect_timeout_ms=endpoint.connect_timeout_ms,
        wait_timeout_ms=endpoint.wait_timeout_ms,
        connections_max=endpoint.concurrency,
        secrets=endpoint.secrets,
        network=endpoint.network,
        proxy=endpoint.proxy or "",
    )
    target.check()
    url = parse_url(endpoint.url)
    return msgspec.structs.replace(target, proxy=_proxy(endpoint, url), tls=_tls(endpoint, url))


def _proxy(endpoint: EndpointSettings, url: EndpointUrl) -> str:
    if endpoint.proxy is not None:
        return endpoint.proxy
    variable, proxy = proxy_from_environment(url, os.environ)
    if proxy:
        try:
            parse_proxy(proxy)
        except UsageError as error:
            raise UsageError(f"{variable}: {error}") from None
    return proxy


def _tls(endpoint: EndpointSettings, url: EndpointUrl) -> ClientTls | None:
    if endpoint.tls == TlsSettings():
        return None
    if not url.is_tls:
        raise UsageError(f"Endpoint {endpoint.name!r}: tls has no meaning for an http:// URL.")
    try:
        return read_tls(endpoint.tls)
    except TlsFileError as error:
        raise UsageError(f"Endpoint {endpoint.name!r}: tls.{error.setting}: {error}") from None


def endpoint_policies(settings: Settings, statuses: Mapping[str, EndpointStatus]) -> tuple[EndpointPolicy, ...]:
    """The endpoints as the engine knows them, by the ids that the store gave their names."""
    return tuple(
        EndpointPolicy(
            endpoint_id=statuses[endpoint.name].endpoint_id,
            name=endpoint.name,
            filter=endpoint.filter,
            concurrency=endpoint.concurrency,
            rate_limit_per_s=endpoint.rate_limit_per_s,
            retry=endpoint.retry,
            on_dead=endpoint.on_dead,
            internal=endpoint.name == OPERATIONS,
        )
        for endpoint in settings.destinations
    )


def healths(statuses: Mapping[str, EndpointStatus]) -> dict[EndpointId, bytes]:
    """What the store kept of the endpoints' health."""
    return {status.endpoint_id: status.health for status in statuses.values()}
