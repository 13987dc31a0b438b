"""What the engine tells whoever listens: frozen records handed to hooks.

A hook is a plain callable. It runs on the engine's loop, so it must be quick; what it raises is logged once and
never reaches a delivery.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import msgspec

from roombell.engine.model import AttemptRecord, Delivery, LaneId

_log = logging.getLogger("roombell.hooks")


class EventAccepted(msgspec.Struct, frozen=True, gc=False):
    """An event is on disk, or was there already (``duplicate``)."""

    event_id: str
    event_type: str
    deliveries: int
    duplicate: bool
    accepted_at_ms: int


class EventRefused(msgspec.Struct, frozen=True, gc=False):
    """An event was not taken; ``code`` is the error's."""

    code: str


class AttemptFinished(msgspec.Struct, frozen=True, gc=False):
    """An attempt was made and what follows from it is on disk."""

    endpoint: str
    delivery: Delivery
    attempt: AttemptRecord
    decision: str
    """``delivered``, ``retry``, ``dead`` or ``disable``."""
    reason: str
    """Why it is dead or the endpoint disabled; empty otherwise."""
    next_due_at_ms: int
    """When the retry is due; 0 otherwise."""
    latency_ms: int
    """From acceptance to the end of this attempt."""
    lane: str
    """The lane's ordering key."""


class DeliveryDead(msgspec.Struct, frozen=True, gc=False):
    """A delivery was given up."""

    endpoint: str
    event_id: str
    event_type: str
    reason: str
    attempts: int


class EndpointDisabled(msgspec.Struct, frozen=True, gc=False):
    """An endpoint asked not to be sent to any more. Its deliveries are kept."""

    endpoint: str
    reason: str


class EndpointFailing(msgspec.Struct, frozen=True, gc=False):
    """An endpoint is taken to be down: only probes are sent until it answers. Its deliveries are kept."""

    endpoint: str
    reason: str


class EndpointRecovered(msgspec.Struct, frozen=True, gc=False):
    """An endpoint that was down has answered; sending begins again, gently."""

    endpoint: str
    down_ms: int


class BacklogGrowing(msgspec.Struct, frozen=True, gc=False):
    """Much is owed to an endpoint, twice as much as when this was told last."""

    endpoint: str
    pending: int
    oldest_ms: int
    """The age of the oldest."""


class LeaseLost(msgspec.Struct, frozen=True, gc=False):
    """Another worker has the lane now; this one dropped it."""

    lane_id: LaneId


class Committed(msgspec.Struct, frozen=True, gc=False):
    """A batch is on disk."""

    accepts: int
    settles: int
    commit_ms: float


class CommitFailed(msgspec.Struct, frozen=True, gc=False):
    """A batch could not be written."""

    code: str
    message: str


Record = (
    EventAccepted
    | EventRefused
    | AttemptFinished
    | DeliveryDead
    | EndpointDisabled
    | EndpointFailing
    | EndpointRecovered
    | BacklogGrowing
    | LeaseLost
    | Committed
    | CommitFailed
)
Hook = Callable[[Record], None]


class Hooks:
    """Hands each record to every hook, and keeps their failures to itself."""

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        self._hooks = tuple(hooks)
        self._failed: set[Hook] = set()

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def emit(self, record: Record) -> None:
        """Calls every hook with ``record``. Never raises; a hook's first failure is logged with its traceback."""
        for hook in self._hooks:
            try:
                hook(record)
            except Exception:  # noqa: BLE001 - a hook is a stranger's code
                if hook not in self._failed:
                    self._failed.add(hook)
                    _log.exception("A hook failed; deliveries go on. Further failures of it are not logged.")
