"""The engine, whole: its loops put together over a store, a transport and a clock.

The notifier runs one with HTTP for a transport; anything else that owes events to somebody in order runs another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from random import Random
from typing import Final

import msgspec

from roombell.engine.admission import AdmissionControl, AdmissionLimits
from roombell.engine.committer import Committer
from roombell.engine.dispatcher import Dispatcher
from roombell.engine.fleet import FleetWatch
from roombell.engine.hooks import EventRefused, Hooks
from roombell.engine.lanes import HeldLimits
from roombell.engine.lifecycle import BackgroundLoop, abandon_all
from roombell.engine.model import Accept, Accepted, EndpointId, EndpointState
from roombell.engine.ports import Clock, Fleet, Store, Transport
from roombell.engine.pruner import Pruner
from roombell.engine.pulse import Pulse
from roombell.engine.reaper import Reaper
from roombell.engine.retry import RetryPolicy
from roombell.engine.router import EndpointPolicy, Router
from roombell.errors import Overloaded, Stopped, StoreError

_log = logging.getLogger("roombell.engine")

REMOVED: Final = EndpointId(0)
"""Stands for all removed endpoints where the store is told how old a delivery may grow."""
STORE_GRACE_S: Final = 3.0
"""How long a stop waits for a store that does not answer."""
_DRAIN_POLL_S: Final = 1.0

Submitted = asyncio.Future[Accepted]
"""Ends when the event is on disk."""


class EngineSettings(msgspec.Struct, frozen=True):
    """What an engine is bounded by."""

    owner: str
    """Names this worker on its leases; unlike every other's, and unlike its own before a restart."""
    lease_ms: int = 60_000
    delivers: bool = True
    """Whether this worker delivers. One that does not never leases a lane; it needs others on the same store."""
    retention_ms: int = 7 * 24 * 3600 * 1000
    held: HeldLimits = HeldLimits()
    admission: AdmissionLimits = AdmissionLimits()


class Engine:
    """Accepts events and sees each of them through. The store must be open; it stays the caller's.

    :param fleet: the other workers, where the store is shared.
    """

    def __init__(
        self,
        store: Store,
        transport: Transport,
        clock: Clock,
        random: Random,
        hooks: Hooks,
        settings: EngineSettings,
        *,
        fleet: Fleet | None = None,
    ) -> None:
        assert settings.delivers or fleet is not None, "somebody must deliver"
        self._store, self._clock, self._hooks = store, clock, hooks
        self._admission = AdmissionControl(settings.admission)
        self._router = Router(())
        self._max_ages_ms: dict[EndpointId, int] = {}
        self._committer = Committer(store, clock, hooks, owner=settings.owner, lease_ms=settings.lease_ms)
        self._dispatcher = Dispatcher(
            store,
            transport,
            self._committer,
            clock,
            random,
            hooks,
            owner=settings.owner,
            lease_ms=settings.lease_ms,
            limits=settings.held,
        )
        self._committer.bind(self._dispatcher)
        self._loops: tuple[BackgroundLoop, ...] = (
            self._committer,
            self._dispatcher,
            Reaper(store, clock, max_ages_ms=lambda: self._max_ages_ms, reaped=self._dispatcher.look_again),
            Pruner(store, clock, retention_ms=settings.retention_ms),
            Pulse(clock, self._admission, lambda: self._dispatcher.behind),
        )
        if fleet is not None:
            watch = FleetWatch(fleet, self._dispatcher, clock, owner=settings.owner, delivers=settings.delivers)
            self._loops = (watch, *self._loops)
        self._running = False

    @property
    def running(self) -> bool:
        """Whether events are taken."""
        return self._running

    @property
    def waiting(self) -> int:
        """Events that wait for a commit."""
        return self._committer.waiting

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return self._dispatcher.in_flight

    @property
    def held(self) -> int:
        """Deliveries in memory."""
        return self._dispatcher.held

    @property
    def last_error(self) -> StoreError | None:
        """Why the last commit failed; None if it did not."""
        return self._committer.last_error

    def configure(self, policies: Iterable[EndpointPolicy], healths: Mapping[EndpointId, bytes] | None = None) -> None:
        """Takes over the endpoints there are from now on, by the ids that the store gave them.

        :param healths: what the store kept of their health.
        """
        endpoints = tuple(policies)
        self._router = Router(endpoint for endpoint in endpoints if not endpoint.internal)
        self._max_ages_ms = {endpoint.endpoint_id: endpoint.retry.max_age_ms for endpoint in endpoints}
        self._max_ages_ms[REMOVED] = RetryPolicy().max_age_ms
        self._dispatcher.configure(endpoints, healths or {})

    def pause(self, endpoint_id: EndpointId) -> None:
        """Sends an endpoint nothing more; its state in the store is the caller's to write, first."""
        self._dispatcher.pause(endpoint_id)

    def resume(self, endpoint_id: EndpointId) -> None:
        """Sends to an endpoint again; its state in the store is the caller's to write, first."""
        self._dispatcher.resume(endpoint_id)

    def look_again(self) -> None:
        """Deliveries may have been made pending by hand: finds them soon."""
        self._dispatcher.look_again()

    def start(self) -> None:
        """Begins to deliver and to take events."""
        for loop in self._loops:
            loop.start()
        self._running = True

    async def stop(self, grace_s: float) -> None:
        """Takes no more events, gives attempts under way ``grace_s`` to end, gives all leases back, and ends.

        What was accepted and not delivered is in the store. A store that does not answer is waited for
        ``STORE_GRACE_S`` longer; then the leases end by themselves. The same where the caller is cancelled.
        """
        if not self._running:
            return
        self._running = False
        try:
            async with asyncio.timeout(grace_s + STORE_GRACE_S):
                await self._dispatcher.drain_attempts(grace_s)
                for loop in reversed(self._loops):
                    await loop.stop()
        except TimeoutError:
            _log.error("The store does not answer. Stopping without it; what was accepted is on disk.")
            await abandon_all(reversed(self._loops))
        except asyncio.CancelledError:
            await abandon_all(reversed(self._loops))
            raise

    def submit(
        self,
        event_id: str,
        event_type: str,
        ordering_key: str,
        room_name: str,
        body: bytes,
        *,
        to: tuple[EndpointId, ...] | None = None,
    ) -> Submitted:
        """Takes an event. The future ends when it is on disk with all its deliveries.

        :param to: the endpoints that it is for, whatever the filters say.

        :raises Overloaded: a bound was reached; nothing was taken.
        :raises Stopped: the engine does not run.

        The future ends with a ``StoreError`` if it could not be written.
        """
        if not self._running:
            raise Stopped("Nothing runs here that takes events; start it, and send the event again.")
        refusal = self._admission.refuse(self._committer.waiting, self._committer.waiting_bytes)
        if refusal is not None:
            self._hooks.emit(EventRefused(Overloaded.code))
            raise Overloaded(f"{refusal} Send the event again later.")
        accept = Accept(
            event_id=event_id,
            event_type=event_type,
            ordering_key=ordering_key,
            room_name=room_name,
            body=body,
            accepted_at_ms=self._clock.now_ms(),
            endpoints=self._router.route(event_type, room_name) if to is None else to,
        )
        return self._committer.accept(accept)

    async def drain(self) -> None:
        """Returns when no active endpoint is owed anything."""
        while self._running:
            self._dispatcher.progress.clear()
            statuses = await self._store.endpoints()
            if not any(status.pending for status in statuses if status.state is EndpointState.ACTIVE):
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_POLL_S):
                    await self._dispatcher.progress.wait()
