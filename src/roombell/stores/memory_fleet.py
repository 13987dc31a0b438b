"""The ``Fleet`` port in memory: the stores that share a ``MemoryDisk`` tell each other what they did."""

from __future__ import annotations

from collections.abc import Callable, Collection

from roombell.engine.model import EndpointId, EndpointNow, Muster, Part
from roombell.stores.memory_disk import Holder, MemoryDisk, WorkerRow


class MemoryFleet:
    """One store's part in it. ``roombell.engine.ports.Fleet`` says what each method promises."""

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk
        self._due: Callable[[Collection[EndpointId]], None] | None = None
        self._changed: Callable[[], None] | None = None

    def listen(self, *, due: Callable[[Collection[EndpointId]], None], changed: Callable[[], None]) -> None:
        self._due, self._changed = due, changed

    def hear(self, due: Collection[EndpointId], *, changed: bool) -> None:
        """What another store did."""
        if due and self._due is not None:
            self._due(due)
        if changed and self._changed is not None:
            self._changed()

    def tell(self, me: Holder, due: Collection[EndpointId], *, changed: bool = False) -> None:
        """Tells all other stores."""
        for other in self._disk.holders:
            if other is not me:
                other.hear(due, changed=changed)

    def beat(self, owner: str, delivers: bool, now_ms: int, expires_at_ms: int) -> Muster:  # noqa: FBT001
        workers = self._disk.workers
        for name in [name for name, worker in workers.items() if worker.expires_at_ms <= now_ms]:
            del workers[name]
        me = workers.setdefault(owner, WorkerRow(delivers, now_ms, expires_at_ms))
        me.expires_at_ms = expires_at_ms
        at_work = [name for name, worker in workers.items() if worker.delivers]
        return Muster(
            part=Part(at_work.index(owner), len(at_work)) if delivers else None,
            joined_at_ms=me.joined_at_ms,
            endpoints=tuple(
                EndpointNow(endpoint.endpoint_id, endpoint.state, endpoint.health)
                for endpoint in self._disk.endpoints.values()
            ),
        )
