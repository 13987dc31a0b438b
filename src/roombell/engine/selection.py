"""Looking for deliveries, and changing many of them by hand: what crosses the store's port for it.

Both walk the deliveries in the order of acceptance, in bounded steps, each from where the last one ended. A step is
one transaction, so a walk that is interrupted is taken up again at its last cursor, or begun anew: what was changed
already does not match any more.
"""

from __future__ import annotations

from typing import Final

import msgspec

from roombell.engine.model import AttemptRecord, DeliveryState, EndpointId, LaneId, Sequence
from roombell.engine.transitions import TRANSITIONS, Verb

BY_HAND: Final = (Verb.REDRIVE, Verb.REPLAY, Verb.CANCEL)
"""What a person does to deliveries."""


class Selector(msgspec.Struct, frozen=True, array_like=True):
    """Which deliveries are meant: those that fit everything that is given."""

    states: tuple[DeliveryState, ...] = tuple(DeliveryState)
    endpoint_id: EndpointId | None = None
    ordering_key: str | None = None
    """With an endpoint: one lane."""
    room_name: str | None = None
    event_id: str | None = None
    since_ms: int | None = None
    """Accepted then or later."""
    until_ms: int | None = None
    """Accepted before."""
    as_of_ms: int | None = None
    """Only what was so by then: settled, or accepted where it is pending. A walk that began then meets nothing that
    it, or another one begun at the same time, has changed."""


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A place between two deliveries, in the order of acceptance. Means something to the store that gave it alone."""

    event: int
    lane_id: LaneId


class DeliveryStatus(msgspec.Struct, frozen=True):
    """A delivery as a person looks at it."""

    endpoint: str
    """The endpoint's name."""
    lane: str
    """The lane's ordering key."""
    lane_id: LaneId
    sequence: Sequence
    event_id: str
    event_type: str
    room_name: str
    accepted_at_ms: int
    state: DeliveryState
    attempts: int
    reason: str
    """Why it is dead or cancelled; empty otherwise."""
    settled_at_ms: int | None
    """None while it is pending."""
    blocks: bool
    """Its lane waits until a person decides about it."""


class Found(msgspec.Struct, frozen=True):
    """One step of looking. ``next`` is where the next step begins; None at the end."""

    deliveries: tuple[DeliveryStatus, ...]
    next: Cursor | None


class DeliveryHistory(msgspec.Struct, frozen=True):
    """A delivery and every attempt at it, in order."""

    delivery: DeliveryStatus
    attempts: tuple[AttemptRecord, ...]


class Changed(msgspec.Struct, frozen=True):
    """One step of changing. ``next`` is where the next step begins; None at the end."""

    changed: int
    left: int
    """Those that may be under way at this moment, and are therefore left as they are."""
    next: Cursor | None


class Unblocked(msgspec.Struct, frozen=True):
    """One step of unblocking lanes. ``next`` is where the next step begins; None at the end."""

    lanes: int
    next: Cursor | None


def states_before(verb: Verb) -> tuple[DeliveryState, ...]:
    """The states that ``verb`` can happen in."""
    return tuple(state for state, possible in TRANSITIONS if possible is verb)
