"""``/healthz`` and ``/readyz``.

Alive means that the process answers: an orchestrator restarts what is not. Ready means that a webhook sent now would
be taken: a load balancer sends to others while it is not. A full disk makes the service unready, and restarting it
would mend nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from roombell.engine.hooks import CommitFailed, Committed, Record
from roombell.engine.ports import Clock
from roombell.errors import RoombellError
from roombell.service.messages import Request, Response, json_response

_RECENT_S: Final = 10.0
_PROBE_S_MAX: Final = 2.0


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    ok: bool
    message: str
    """What was found, as a sentence."""


class Readiness(msgspec.Struct, frozen=True):
    """The body of ``/readyz``."""

    ready: bool
    checks: dict[str, Check]


class Health:
    """Says whether the service is alive and ready.

    :param running: whether the notifier takes events.
    :param stopping: whether the service has been told to stop.
    :param probe: asks the store anything; used when it has had nothing to write lately.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        running: Callable[[], bool],
        stopping: Callable[[], bool],
        probe: Callable[[], Awaitable[object]],
    ) -> None:
        self._clock = clock
        self._running = running
        self._stopping = stopping
        self._probe = probe
        self._committed_at_s: float | None = None
        self._failed_at_s: float | None = None
        self._failure = ""

    def observe(self, record: Record) -> None:
        """An engine hook: learns from each commit whether the store works."""
        if isinstance(record, Committed):
            self._committed_at_s, self._failed_at_s = self._clock.monotonic(), None
        elif isinstance(record, CommitFailed):
            self._failed_at_s, self._failure = self._clock.monotonic(), record.message

    def healthz(self, _request: Request) -> Response:
        """200 as long as there is somebody to say so."""
        return json_response({"status": "alive"})

    async def readyz(self, _request: Request) -> Response:
        """200 if a webhook sent now would be taken, else 503; the body says what was looked at and what was found."""
        checks = {"service": self._service(), "notifier": self._notifier(), "store": await self._store()}
        ready = all(check.ok for check in checks.values())
        return json_response(Readiness(ready, checks), 200 if ready else 503)

    def _service(self) -> Check:
        if self._stopping():
            return Check(False, "The service is stopping and takes nothing new.")
        return Check(True, "The service takes requests.")

    def _notifier(self) -> Check:
        if self._running():
            return Check(True, "The notifier takes and delivers events.")
        return Check(False, "The notifier is not running.")

    async def _store(self) -> Check:
        """The last commits tell; without any, the store is asked. A failure counts for a while only, so that a service
        that gets no requests because it is not ready finds out when it is again.
        """
        now_s = self._clock.monotonic()
        if self._failed_at_s is not None and now_s - self._failed_at_s < _RECENT_S:
            return Check(False, f"The last commit failed {now_s - self._failed_at_s:.1f} s ago: {self._failure}")
        if self._committed_at_s is not None and now_s - self._committed_at_s < _RECENT_S:
            return Check(True, f"The last commit succeeded {now_s - self._committed_at_s:.1f} s ago.")
        return await self._asked()

    async def _asked(self) -> Check:
        try:
            async with asyncio.timeout(_PROBE_S_MAX):
                await self._probe()
        except TimeoutError:
            return Check(False, f"The store has not answered within {_PROBE_S_MAX:g} s.")
        except RoombellError as error:
            return Check(False, str(error))
        return Check(True, "The store answers.")
