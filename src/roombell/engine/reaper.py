"""Ends what nobody else will: leases whose worker is gone, and deliveries that wait, unsent, past their age.

A worker sees the age of a delivery when its turn comes. Deliveries whose turn never comes, since their endpoint is
disabled or was removed, are seen here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.model import EndpointId
from roombell.engine.ports import Clock, Store

_log = logging.getLogger("roombell.engine")

REAP_EVERY_S: Final = 15.0
REAP_PER_STEP_MAX: Final = 500


class Reaper(BackgroundLoop):
    """Reaps in small steps. ``reaped`` is called when lanes may have become free."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        max_ages_ms: Callable[[], Mapping[EndpointId, int]],
        reaped: Callable[[], None],
    ) -> None:
        super().__init__("reaper")
        self._store, self._clock = store, clock
        self._max_ages_ms, self._reaped = max_ages_ms, reaped

    async def step(self) -> float:
        reaped = await self._store.reap(
            now_ms=self._clock.now_ms(), max_age_ms=self._max_ages_ms(), limit=REAP_PER_STEP_MAX
        )
        if reaped.leases_ended:
            _log.warning("%d leases had run out; their lanes are free again.", reaped.leases_ended)
            self._reaped()
        if reaped.deliveries_ended:
            _log.warning("%d deliveries grew too old while nothing was sent for them.", reaped.deliveries_ended)
        return 0.0 if reaped.more else REAP_EVERY_S
