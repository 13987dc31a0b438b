"""Retention: forgets settled events that are old enough, a few at a time so that nothing else has to wait."""

from __future__ import annotations

from typing import Final

from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.ports import Clock, Store

PRUNE_EVERY_S: Final = 60.0
PRUNE_AGAIN_S: Final = 0.05
PRUNE_PER_STEP_MAX: Final = 200


class Pruner(BackgroundLoop):
    """Prunes what was accepted more than ``retention_ms`` ago."""

    def __init__(self, store: Store, clock: Clock, *, retention_ms: int) -> None:
        super().__init__("pruner")
        self._store, self._clock, self._retention_ms = store, clock, retention_ms

    async def step(self) -> float:
        before_ms = self._clock.now_ms() - self._retention_ms
        pruned = await self._store.prune(before_ms=before_ms, limit=PRUNE_PER_STEP_MAX)
        return PRUNE_AGAIN_S if pruned.more else PRUNE_EVERY_S
