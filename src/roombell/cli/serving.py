"""The life of ``roombell serve``: start, signals, reload, stop.

The service listens before the store is open. That tells a taken port before anything else is touched, and whoever
sends while the store is being opened gets a 503 that asks to come again, instead of a refused connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from roombell.cli.exits import ExitCode
from roombell.cli.options import cannot_listen, host_to_reach
from roombell.cli.output import counted
from roombell.config import EndpointSettings, Settings
from roombell.engine.hooks import AttemptFinished, Record
from roombell.engine.model import Accepted, EndpointStatus
from roombell.engine.operator import Operator
from roombell.errors import ConfigError, RoombellError, Stopped
from roombell.events import WebhookEvent
from roombell.notifier import Notifier
from roombell.service.app import Service, ServiceOptions
from roombell.service.dev import ENDPOINT_PATH
from roombell.service.dev_rooms import DevRooms
from roombell.service.logs import Logs
from roombell.wiring import FollowingClock, key_ring

DEV_ENDPOINT: Final = "roombell-dev"
"""The name of the endpoint that ``--dev`` adds."""

_log: Final = logging.getLogger("roombell.serve")

LAST_EVENTS_TIMEOUT_S: Final = 1.0
"""How long the rooms' last events may take to be delivered before the service stops listening."""


class _Front:
    """Stands before the notifier while there is none yet."""

    def __init__(self) -> None:
        self.notifier: Notifier | None = None

    @property
    def running(self) -> bool:
        return self.notifier is not None and self.notifier.running

    def submit(self, event: WebhookEvent) -> asyncio.Future[Accepted]:
        return self._started().submit(event)

    def endpoints(self) -> Awaitable[Sequence[EndpointStatus]]:
        return self._started().endpoints()

    @property
    def operator(self) -> Operator:
        return self._started().operator

    def _started(self) -> Notifier:
        if self.notifier is None:
            raise Stopped("The service is starting: the store is not open yet.")
        return self.notifier


class Serving:
    """A service with its notifier, from the first signal handler to the last line of the log.

    :param settings: what to begin with.
    :param load: reads the settings anew, for SIGHUP.
    :param logs: where the engine's records go; whoever made it closes it.
    :param rooms_port: where a room server takes clients; None: there is none.
    """

    def __init__(
        self, settings: Settings, load: Callable[[], Settings], logs: Logs, rooms_port: int | None = None
    ) -> None:
        self._settings = settings
        self._load = load
        self._logs = logs
        self._front = _Front()
        self._clock = FollowingClock()
        self.rooms = None if rooms_port is None else self._make_rooms(rooms_port)
        self._service = self._make_service()
        self._taking: set[asyncio.Future[Accepted]] = set()
        """Events of the rooms that are not on disk so far."""
        self._stopping = asyncio.Event()
        self._stopped_by: signal.Signals | None = None
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where the service is reached from this machine."""
        return f"http://{host_to_reach(self._settings.bind_addresses)}:{self._service.port}"

    async def run(self, announce: Callable[[], None]) -> ExitCode:
        """Serves until SIGTERM or SIGINT, then stops within ``stop_timeout``; a second signal ends the process.

        :param announce: called when events are taken.
        :raises NetworkTrouble: the address cannot be listened on.
        :raises StoreError: the store cannot be opened.
        :raises UsageError: the settings cannot be used.
        """
        self._catch_signals()
        try:
            if await self._start():
                announce()
                await self._stopping.wait()
        finally:
            await self._stop()
        return ExitCode.INTERRUPTED if self._stopped_by is signal.SIGINT else ExitCode.OK

    async def _start(self) -> bool:
        """Whether it started; False where a signal came first."""
        starting = asyncio.ensure_future(self._open())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        is_started = starting.done()
        stopping.cancel()
        starting.cancel()
        outcomes = await asyncio.gather(starting, stopping, return_exceptions=True)
        if is_started and isinstance(outcomes[0], BaseException):
            raise outcomes[0]
        return is_started

    async def _open(self) -> None:
        try:
            await self._service.start()
        except ConfigError as error:
            raise cannot_listen(
                error,
                "Does Roombell run there already (roombell doctor tells)? Stop it, or choose another port with --port.",
            ) from None
        hooks = (self._service.observe, self._log_record)
        settings = self._with_dev_endpoint(self._settings)
        notifier = Notifier.from_settings(settings, hooks=hooks, clock=self._clock)
        self._front.notifier = notifier
        if self.rooms is None:
            await notifier.start()
        else:
            await asyncio.gather(notifier.start(), self.rooms.load())
            await self.rooms.start()

    async def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._settings.stop_timeout_ms / 1000
        for task in self._reloads:
            task.cancel()
        await asyncio.gather(*self._reloads, return_exceptions=True)
        if self.rooms is not None:
            await self.rooms.stop()
            await self._deliver_last_events()
        await self._service.stop()
        if self._front.notifier is not None:
            await self._front.notifier.stop(grace_s=max(0.0, deadline_s - loop.time()))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)

    async def _deliver_last_events(self) -> None:
        """The rooms' end is told to our own endpoint too, which is gone a moment later."""
        notifier = self._front.notifier
        if notifier is None or not notifier.running:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_EVENTS_TIMEOUT_S):
                await asyncio.gather(*self._taking, return_exceptions=True)
                await notifier.drain()

    def _make_service(self) -> Service:
        settings = self._settings
        return Service(
            ServiceOptions.from_settings(settings),
            self._front,
            key_ring(settings),
            self._clock,
            log_lines_dropped=lambda: self._logs.dropped,
            show=self._logs.show if settings.dev else None,
            rooms=self.rooms,
        )

    def _make_rooms(self, port: int) -> DevRooms:
        host = next(iter(self._settings.bind_addresses), _EVERY_INTERFACE)
        return DevRooms(self._settings.keys, host, port, self._clock, self._take)

    def _take(self, event: WebhookEvent) -> None:
        """An event of the rooms goes where LiveKit's go."""
        try:
            taking = self._front.submit(event)
        except RoombellError as error:
            _log.error("Lost %s: %s", event, error)
            return
        self._taking.add(taking)
        taking.add_done_callback(self._taking.discard)
        taking.add_done_callback(_tell_lost)

    def _with_dev_endpoint(self, settings: Settings) -> Settings:
        if not settings.dev:
            return settings
        endpoint = EndpointSettings(
            name=DEV_ENDPOINT, url=f"{self.url}{ENDPOINT_PATH}", api_key=next(iter(settings.keys))
        )
        return msgspec.structs.replace(settings, endpoints=(*settings.endpoints, endpoint))

    def _log_record(self, record: Record) -> None:
        """All but what the development endpoint tells itself of each delivery."""
        is_shown = isinstance(record, AttemptFinished) and record.endpoint == DEV_ENDPOINT
        if not (is_shown and isinstance(record, AttemptFinished) and record.decision == "delivered"):
            self._logs.observe(record)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload)

    def _on_stop(self, number: signal.Signals) -> None:
        if self._stopped_by is not None:
            _log.warning("Stopped at once by a second signal. What was accepted is on disk and goes out next time.")
            self._logs.close()
            os._exit(128 + number)
        self._stopped_by = number
        timeout_s = self._settings.stop_timeout_ms / 1000
        _log.info(
            "Stopping on %s: ending what is under way, for %g s at most. A second signal ends it at once.",
            signal.Signals(number).name,
            timeout_s,
        )
        self._stopping.set()

    def _on_reload(self) -> None:
        task = asyncio.ensure_future(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        async with self._reloading:
            notifier = self._front.notifier
            if notifier is None or not notifier.running:
                _log.warning("The service is not running yet, so SIGHUP does nothing.")
                return
            try:
                settings = await asyncio.to_thread(self._load)
                await notifier.reconfigure(self._with_dev_endpoint(settings))
            except RoombellError as error:
                _log.error("The configuration was not reloaded, and the old one stays in force: %s", error)
                return
            self._service.use_keys(key_ring(settings))
            self._tell_reloaded(settings)
            self._settings = settings

    def _tell_reloaded(self, settings: Settings) -> None:
        for note in settings.notes:
            _log.warning("%s", note)
        waiting = [name for name, field in _FIXED.items() if getattr(settings, field) != getattr(self._settings, field)]
        if waiting:
            _log.warning("Changed in the configuration and in force after a restart only: %s.", ", ".join(waiting))
        keys, endpoints = counted(len(settings.keys), "API key"), counted(len(settings.endpoints), "endpoint")
        _log.info("The configuration was reloaded: %s, %s.", keys, endpoints)


def _tell_lost(taken: asyncio.Future[Accepted]) -> None:
    error = None if taken.cancelled() else taken.exception()
    if error is not None:
        _log.error("An event of the rooms was not taken: %s", error)


_EVERY_INTERFACE: Final = "0.0.0.0"  # noqa: S104 - what no bind_addresses means
_FIXED: Final = {
    "port": "port",
    "bind_addresses": "bind_addresses",
    "store": "store",
    "lease": "lease_ms",
    "retention": "retention_ms",
    "limits": "limits",
}
"""Settings that SIGHUP does not change, by the names they have in the file."""
