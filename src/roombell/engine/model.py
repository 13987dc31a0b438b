"""The engine's words as values.

Everything that crosses a port is one of these frozen records: they hold no behaviour beyond what follows from
their fields, and they can be sent to another process as they are. Times are UTC milliseconds since the epoch
(suffix ``_at_ms``), spans are milliseconds (``_ms``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

import msgspec

EndpointId = NewType("EndpointId", int)
"""A store's number for an endpoint; the name is what people use."""

LaneId = NewType("LaneId", int)
"""A store's number for one incarnation of a lane. Never given twice by one store."""

Sequence = NewType("Sequence", int)
"""A delivery's place in its lane, given at acceptance: from 1, one by one."""

Generation = NewType("Generation", int)
"""How often a lane was leased. A write that carries an older one is from a worker that lost the lane."""

NO_LEASE = Generation(0)


class DeliveryState(StrEnum):
    """Where a delivery stands. A retry is a ``pending`` delivery whose lane is due later."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    CANCELLED = "cancelled"


class EndpointState(StrEnum):
    """Whether an endpoint is sent to. In every state but ``active`` its deliveries are kept, and none is sent."""

    ACTIVE = "active"
    PAUSED = "paused"
    """By a person, until a person resumes it; new events still make deliveries."""
    DISABLED = "disabled"
    REMOVED = "removed"


class OnDead(StrEnum):
    """What a lane does when a delivery in it is given up."""

    SKIP = "skip"
    BLOCK = "block"


class FailureKind(StrEnum):
    """How a POST failed when no complete answer came. The value is the metrics' and logs' label."""

    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    RESET = "reset"
    TLS = "tls"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_SEND = "timeout_send"
    TIMEOUT_WAIT = "timeout_wait"
    TIMEOUT_READ = "timeout_read"
    PROTOCOL = "protocol"
    PROXY = "proxy"
    """The proxy before the endpoint is at fault: it cannot be reached, or it refused to pass the request on."""
    BLOCKED = "blocked"
    """The endpoint's address is one that may not be connected to; nothing was sent."""
    CONFIGURATION = "configuration"
    """The request could not be made at all, by a fault on our side: an unknown key, an endpoint without URL."""


class Answered(msgspec.Struct, frozen=True, gc=False):
    """The endpoint answered with a complete status line and headers."""

    status: int
    duration_ms: int
    retry_after: str | None = None
    """The ``Retry-After`` header as it came; ``decide`` reads and clamps it."""
    date: str | None = None
    """The answer's ``Date`` header: a ``Retry-After`` that is a date is read against it."""
    excerpt: bytes = b""
    """The first bytes of the answer's body, up to the transport's bound."""
    reused_connection: bool = False
    control: str | None = None
    """The answer's ``webhook-delivery`` header: what the endpoint asks for beyond its status."""


class Failed(msgspec.Struct, frozen=True, gc=False):
    """No complete answer came."""

    kind: FailureKind
    detail: str
    duration_ms: int
    reused_connection: bool = False


Outcome = Answered | Failed


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One event owed to one endpoint, as a worker holds it while its lane is leased."""

    lane_id: LaneId
    sequence: Sequence
    event_id: str
    event_type: str
    accepted_at_ms: int
    attempts: int
    """Attempts made and recorded so far."""
    body: bytes
    """The event exactly as it was accepted."""
    strikes: int = 0
    """Those of the attempts that count towards giving up: probes of an endpoint that is down do not, nor do those from
    before it was redriven."""
    redriven_at_ms: int = 0
    """When it was last made pending again by hand; 0 if it never was."""

    @property
    def owed_since_ms(self) -> int:
        """What its age is counted from: the acceptance, or the last time it was made pending again by hand."""
        return self.redriven_at_ms or self.accepted_at_ms


class AttemptRecord(msgspec.Struct, frozen=True, gc=False):
    """One attempt, as it is kept: numbered from 1 within its delivery, append-only."""

    number: int
    started_at_ms: int
    duration_ms: int
    outcome: str
    """``answered``, or the failure's kind."""
    status: int
    """The HTTP status, 0 where none came."""
    detail: str
    """What went wrong, or the first bytes of the answer, in words a person can read."""


# What goes into one commit, and what comes back. Lists are parallel: result i is the answer to request i.


class Accept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event to be stored, with one delivery for each endpoint that wants it."""

    event_id: str
    event_type: str
    ordering_key: str
    room_name: str
    body: bytes
    accepted_at_ms: int
    endpoints: tuple[EndpointId, ...]


class Grant(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many idle lanes of an endpoint the worker takes over in the commit that gives them something to do."""

    endpoint_id: EndpointId
    lanes: int


class Settle(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of an attempt. Written only while ``generation`` is still the lane's own."""

    lane_id: LaneId
    generation: Generation
    sequence: Sequence
    state: DeliveryState
    """The delivery's state from now on. ``pending`` is a retry: the lane is released and due at ``due_at_ms``."""
    attempt: AttemptRecord | None
    """None where no attempt was made, as when a delivery has grown too old to be sent."""
    settled_at_ms: int
    due_at_ms: int = 0
    reason: str = ""
    """Why it is dead or cancelled; empty otherwise."""
    block: bool = False
    """The lane stops here until a person decides (``on_dead: block``); its lease ends."""
    counted: bool = True
    """Whether the attempt counts towards giving up."""


class Release(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Gives a lease back; the lane is due at ``due_at_ms``. Ignored if the lease was lost meanwhile."""

    lane_id: LaneId
    generation: Generation
    due_at_ms: int


class Renew(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Asks for a lease to last until ``expires_at_ms``."""

    lane_id: LaneId
    generation: Generation
    expires_at_ms: int


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """One transaction: all of it is on disk when the store answers, or none of it.

    Applied in the order of the fields, so that a lane that gets an event and settles its last one in the same
    commit keeps its lease.
    """

    owner: str
    lease_expires_at_ms: int
    accepts: tuple[Accept, ...] = ()
    grants: tuple[Grant, ...] = ()
    """For the lanes of ``accepts`` that are idle and due; given in the order in which they are met."""
    settles: tuple[Settle, ...] = ()
    releases: tuple[Release, ...] = ()
    renewals: tuple[Renew, ...] = ()


class Placed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a new delivery stands."""

    endpoint_id: EndpointId
    lane_id: LaneId
    sequence: Sequence
    generation: Generation
    """The lane's generation if the batch's owner holds its lease after this commit, else ``NO_LEASE``."""
    granted: bool = False
    """Whether this commit gave the lease: then the delivery is the oldest that is pending in the lane."""
    elsewhere: bool = False
    """Whether another worker holds the lane: it finds the delivery by itself, and nobody else need look."""
    due_at_ms: int | None = None
    """Where nobody holds the lane: when it may be leased; None while it is blocked."""


class Accepted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event is on disk. ``placed`` has an entry for each of its endpoints, and none for a duplicate."""

    duplicate: bool
    placed: tuple[Placed, ...] = ()


class Settled(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An attempt is on disk, or the lease was lost and nothing was written."""

    lost: bool
    pending: int = 0
    """Deliveries still pending in the lane. When it is 0 the lane's lease has ended with this commit."""
    recalled: bool = False
    """Deliveries of the lane were changed by hand meanwhile: its lease has ended with this commit, and what the worker
    holds of it in memory is out of date."""


class BatchResult(msgspec.Struct, frozen=True, array_like=True):
    """What a commit did."""

    accepted: tuple[Accepted, ...]
    settled: tuple[Settled, ...]
    renewed: tuple[bool, ...]
    """False where the lease was lost."""
    commit_ms: float
    """How long the transaction took, from BEGIN to durable."""


class LeasedLane(msgspec.Struct, frozen=True):
    """A lane this worker may work now, with the first of its pending deliveries, oldest first, no gap between."""

    lane_id: LaneId
    endpoint_id: EndpointId
    ordering_key: str
    generation: Generation
    pending: int
    heads: tuple[Delivery, ...]


class Acquired(msgspec.Struct, frozen=True):
    """What an endpoint had to do."""

    lanes: tuple[LeasedLane, ...]
    next_due_at_ms: int | None
    """When the next of the lanes left behind is due; None if none waits. A time in the past: ask again."""


class EndpointStatus(msgspec.Struct, frozen=True):
    """An endpoint as the store knows it."""

    endpoint_id: EndpointId
    name: str
    state: EndpointState
    reason: str
    """Why it is not active; empty otherwise."""
    changed_at_ms: int
    pending: int
    dead: int
    oldest_pending_at_ms: int | None
    """Since when the oldest of the deliveries at the heads of its lanes is owed."""
    health: bytes = b""
    """What ``set_endpoint_health`` kept; empty at first."""
    blocked: int = 0
    """Lanes that wait until a person decides about a dead delivery (``on_dead: block``)."""


class Pruned(msgspec.Struct, frozen=True):
    """One step of retention. ``more`` asks for another at once."""

    events: int
    lanes: int
    more: bool


class Reaped(msgspec.Struct, frozen=True):
    """One step of tidying up. ``more`` asks for another at once."""

    leases_ended: int
    deliveries_ended: int
    more: bool


class Document(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value that is kept beside the events, as it was last put."""

    key: str
    version: int
    value: bytes


class Put(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A document's next value, which counts only where ``replaces`` is the version that is there."""

    key: str
    replaces: int
    """0: there is none."""
    version: int
    """Higher than every version that the key ever had."""
    value: bytes | None
    """None: the document, which is there, is forgotten."""


class EndpointNow(msgspec.Struct, frozen=True):
    """What workers must agree on about an endpoint."""

    endpoint_id: EndpointId
    state: EndpointState
    health: bytes


class Part(msgspec.Struct, frozen=True):
    """A worker's place among those that deliver. Every endpoint's limits are shared out by it."""

    rank: int
    """From 0, in the order in which they joined: a worker that comes moves nobody back."""
    workers: int

    @property
    def leads(self) -> bool:
        """Whether what one worker alone may do is this one's to do."""
        return self.rank == 0

    def of(self, limit: int) -> int:
        """This worker's share. All shares together are ``limit``, so with more workers than that some have none."""
        return limit // self.workers + (self.rank < limit % self.workers)


WHOLE = Part(0, 1)
"""The part of a worker that is alone."""


class Muster(msgspec.Struct, frozen=True):
    """Who is there, and what they know."""

    part: Part | None
    """This worker's own; None for one that does not deliver."""
    joined_at_ms: int
    endpoints: tuple[EndpointNow, ...]
