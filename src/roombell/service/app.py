"""The service: its paths, its life."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, Self

import msgspec

from roombell import _version
from roombell.engine.hooks import Record
from roombell.engine.model import EndpointStatus
from roombell.engine.ports import Clock
from roombell.service.api import Api, OperatorSource
from roombell.service.dev import DELIVERIES_PATH, ENDPOINT_PATH, TABLE_PATH, DevEndpoint
from roombell.service.dev_live import LIVE_PATH, LiveFeed
from roombell.service.dev_page import Shown
from roombell.service.dev_rooms import DevRooms
from roombell.service.health import Health
from roombell.service.http import HttpServer
from roombell.service.ingest import Ingest, Submitter
from roombell.service.limits import HttpLimits
from roombell.service.messages import Request, Response, json_response
from roombell.service.metrics import EndpointFigures, MetricsPage, Recorder, ServiceCollector, Snapshot
from roombell.service.router import Router
from roombell.settings import Settings
from roombell.signing import KeyRing


class NotifierPort(Submitter, OperatorSource, Protocol):
    """What the service needs of a notifier."""

    @property
    def running(self) -> bool:
        """Whether it takes events."""

    def endpoints(self) -> Awaitable[Sequence[EndpointStatus]]:
        """The endpoints with their counts, from the store.

        :raises StoreError: the store does not answer.
        """


class ServiceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a service is told."""

    port: int
    hosts: tuple[str, ...] = ()
    """Addresses to listen on; none is every interface."""
    limits: HttpLimits = HttpLimits()
    stop_s: float = 5.0
    """How long requests under way may take when the service stops."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """What the configuration says."""
        bounds = settings.limits
        limits = HttpLimits(
            body_bytes_max=bounds.body_bytes_max,
            head_bytes_max=bounds.header_bytes_max,
            connections_max=bounds.connections_max,
        )
        stop_s = settings.stop_timeout_ms / 1000
        return cls(port=settings.port, hosts=settings.bind_addresses, limits=limits, stop_s=stop_s)


class Service:
    """HTTP in front of a notifier. ``observe`` has to be among the notifier's hooks.

    :param log_lines_dropped: the log's own count, for the metrics.
    :param show: makes this a service with the built-in endpoint of ``--dev``; called with each of its deliveries.
    :param rooms: the rooms beside it; whoever made them starts and stops them.
    """

    def __init__(
        self,
        options: ServiceOptions,
        notifier: NotifierPort,
        keys: KeyRing,
        clock: Clock,
        *,
        log_lines_dropped: Callable[[], int] = lambda: 0,
        show: Callable[[Shown], None] | None = None,
        rooms: DevRooms | None = None,
    ) -> None:
        self._options = options
        self._rooms = rooms
        self._log_lines_dropped = log_lines_dropped
        router = Router()
        self._http = HttpServer(router, clock, options.limits)
        self._ingest = Ingest(keys, notifier, clock)
        self._api = Api(keys, notifier, clock)
        self._recorder = Recorder()
        self._health = Health(
            clock,
            running=lambda: notifier.running,
            stopping=lambda: self._http.stopping,
            probe=notifier.endpoints,
        )
        self._figures = EndpointFigures(notifier.endpoints, clock)
        collector = ServiceCollector(self._recorder, self._figures, self._snapshot, clock)
        self._dev = DevEndpoint(keys, clock, show) if show is not None else None
        self._live = LiveFeed()
        router.add("/webhook", POST=self._ingest.handle, early=self._ingest.early)
        router.add("/healthz", GET=self._health.healthz)
        router.add("/readyz", GET=self._health.readyz)
        router.add("/metrics", GET=MetricsPage(collector, self._figures, clock).handle)
        self._api.add_to(router)
        self._add_home(router)

    @property
    def port(self) -> int:
        """The port that is listened on; 0 while it is not."""
        return self._http.port

    def observe(self, record: Record) -> None:
        """An engine hook: what the metrics and ``/readyz`` tell comes from here."""
        self._recorder.observe(record)
        self._health.observe(record)
        if self._dev is not None:
            self._live.observe(record)

    def use_keys(self, keys: KeyRing) -> None:
        """Verifies with ``keys`` from now on."""
        self._ingest.keys = self._api.keys = keys
        if self._dev is not None:
            self._dev.use_keys(keys)

    async def start(self) -> None:
        """Listens.

        :raises ConfigError: the address cannot be listened on.
        """
        await self._http.start(self._options.hosts, self._options.port)

    async def stop(self) -> None:
        """Stops listening, answers what is under way, and returns. To be called before the notifier stops, since
        senders wait for it.
        """
        self._live.close()
        await self._http.stop(self._options.stop_s)
        await self._figures.close()

    def _add_home(self, router: Router) -> None:
        if self._dev is None:
            router.add("/", GET=_home)
            return
        router.add("/", GET=self._dev_home)
        router.add(TABLE_PATH, GET=self._dev.page)
        router.add(ENDPOINT_PATH, POST=self._dev.receive)
        router.add(DELIVERIES_PATH, GET=self._dev.deliveries)
        router.add(LIVE_PATH, GET=self._live.handle)
        if self._rooms is not None:
            self._rooms.add_to(router)

    def _dev_home(self, request: Request) -> Response:
        assert self._dev is not None, "this is the development service's"
        return self._rooms.page(request) if self._rooms is not None and self._rooms.port else self._dev.page(request)

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            rejected_by_code=self._ingest.rejected_by_code,
            answers_by_status=self._http.answers_by_status,
            ingest_waiting=self._ingest.waiting,
            connections=self._http.connections,
            tasks=len(asyncio.all_tasks()),
            log_lines_dropped=self._log_lines_dropped(),
        )


def _home(_request: Request) -> Response:
    links = {"health": "/healthz", "ready": "/readyz", "metrics": "/metrics"}
    return json_response({"name": "roombell", "version": _version.__version__, "links": links})
