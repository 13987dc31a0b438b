"""What the engine needs of the world: a store, a transport, a clock.

Each port is owned here, by its user. Whatever implements one passes its contract suite in ``roombell.testing``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from collections.abc import Sequence as Seq
from typing import Protocol, runtime_checkable

import msgspec

from roombell.engine.model import (
    Acquired,
    Batch,
    BatchResult,
    Delivery,
    EndpointId,
    EndpointState,
    EndpointStatus,
    Generation,
    LaneId,
    Muster,
    Outcome,
    Pruned,
    Reaped,
    Sequence,
)
from roombell.engine.selection import Changed, Cursor, DeliveryHistory, Found, Selector, Unblocked
from roombell.engine.transitions import Verb


class Clock(Protocol):
    """Wall time for what is written down, monotonic time for what is measured."""

    def now_ms(self) -> int:
        """UTC milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def cpu_s(self) -> float:
        """Seconds of processor time that this process has used."""


class Store(Protocol):
    """Durable events, deliveries, lanes, attempts.

    Every method is one transaction. Errors are ``StoreError`` and its children, nothing else; after one, nothing
    of that call was written, except ``StoreUnavailable``, after which the caller cannot know. Methods may be
    called concurrently; what they do is what they would do one after another.

    A lane's lease is (owner, expiry, generation). Leasing a lane raises its generation. Writes for a lane carry
    the generation and do nothing when it is no longer the lane's own.

    A store is one worker's alone, or it is ``shared``: then any number of workers, each with a store object of its
    own, work on the same storage at once.
    """

    @property
    def shared(self) -> bool:
        """Whether other workers may have the same storage open."""

    @property
    def store_id(self) -> str:
        """Eight hexadecimal digits, drawn when the store was made; with a lane's id it names the lane for ever."""

    async def open(self) -> None:
        """Opens or makes the store, and moves an older one up.

        A store that is one worker's alone ends all leases that the previous owner left. A shared one leaves them: their
        workers live, or they run out.

        :raises StoreLocked: another process has it open, and it is not shared.
        :raises StoreError: it cannot be opened; the message names the file or the database, and the mend.
        """

    async def close(self) -> None:
        """Ends what is under way and closes. Calling it twice is fine. Leases are not ended by it."""

    async def commit(self, batch: Batch) -> BatchResult:
        """The hot path: accepts, settles, releases and renewals of many callers in one transaction."""

    async def acquire(
        self,
        owner: str,
        endpoint_id: EndpointId,
        *,
        lanes_max: int,
        heads_max: int,
        body_bytes_max: int,
        now_ms: int,
        expires_at_ms: int,
    ) -> Acquired:
        """Leases up to ``lanes_max`` lanes of an active endpoint that are due and free, longest due first.

        Each comes with at least one head, and with up to ``heads_max`` while all bodies together stay within
        ``body_bytes_max``. Lanes whose lease has expired count as free. Blocked lanes are never acquired. What another
        worker is about to lease in the same moment may be passed over; ``next_due_at_ms`` says when to ask again.
        """

    async def page(
        self, lane_id: LaneId, generation: Generation, *, after: Sequence, heads_max: int, body_bytes_max: int
    ) -> tuple[Delivery, ...] | None:
        """More pending deliveries of a leased lane, oldest first, with a sequence above ``after``; at least one
        if there is one. None if the lease was lost, or deliveries of the lane were changed by hand meanwhile.
        """

    async def register(self, names: Seq[str], *, now_ms: int) -> Mapping[str, EndpointStatus]:
        """Makes ``names`` the endpoints there are: new ones are added, listed ones become active unless they are
        ``paused``, and every other one is ``removed``: its pending deliveries stay, unsent, until it is listed again
        or they grow too old.
        """

    async def set_endpoint_state(
        self, endpoint_id: EndpointId, state: EndpointState, *, reason: str, now_ms: int
    ) -> None:
        """Writes down that an endpoint is disabled or paused, or active again."""

    async def set_endpoint_health(self, endpoint_id: EndpointId, health: bytes) -> None:
        """Keeps what is known of an endpoint's health, which means nothing to the store."""

    async def endpoints(self) -> tuple[EndpointStatus, ...]:
        """Every endpoint with its counts, removed ones that still owe something included. Costs an index scan."""

    async def find(self, selector: Selector, *, after: Cursor | None, limit: int) -> Found:
        """Up to ``limit`` of the deliveries that ``selector`` means, in the order of acceptance, from ``after`` on.

        A step looks at a bounded number of rows, so it may find few or none and still have a ``next``.
        """

    async def change(
        self, selector: Selector, verb: Verb, *, reason: str, after: Cursor | None, limit: int, now_ms: int
    ) -> Changed:
        """Redrives, replays or cancels up to ``limit`` of the deliveries that ``selector`` means; others than those
        that ``verb`` can happen to are passed over. In the order of acceptance, from ``after`` on, as ``find``.

        What is redriven or replayed is pending again in its old place in the lane, before everything newer; strikes
        and age are counted anew, attempts are numbered on. A lane that waited for a decision about it goes on.

        A lane that is leased is called back: its worker may settle what can be under way, which is the oldest that
        was pending when the lane was called back, and the lease ends with that (``Settled.recalled``). That one
        delivery cannot be cancelled: it counts as ``left``.

        :param reason: why they are cancelled.
        """

    async def unblock(
        self,
        endpoint_id: EndpointId | None,
        ordering_key: str | None,
        *,
        after: Cursor | None,
        limit: int,
        now_ms: int,
    ) -> Unblocked:
        """Lets up to ``limit`` blocked lanes go on without the delivery they waited for: those of an endpoint, of an
        ordering key, both or neither given. A lane in which nothing is left is forgotten.
        """

    async def history(self, event_id: str) -> tuple[DeliveryHistory, ...]:
        """Every delivery of an event with its attempts, by lane; none if the event is not known, or was pruned."""

    async def reap(self, *, now_ms: int, max_age_ms: Mapping[EndpointId, int], limit: int) -> Reaped:
        """Ends expired leases, and the pending deliveries that are older than their endpoint's ``max_age_ms``:
        ``dead`` with reason ``expired`` where the endpoint is listed in ``max_age_ms``; deliveries of removed
        endpoints older than the default age under the id 0 are ``cancelled`` with reason ``endpoint removed``.
        Lanes that are leased are left alone: their worker sees the age itself.
        """

    async def prune(self, *, before_ms: int, limit: int) -> Pruned:
        """Forgets up to ``limit`` events accepted before ``before_ms`` whose deliveries are all settled, with their
        deliveries and attempts, and lanes in which nothing is left.
        """


@runtime_checkable
class Fleet(Protocol):
    """The other workers on a shared store."""

    async def beat(self, owner: str, *, delivers: bool, now_ms: int, expires_at_ms: int) -> Muster:
        """Says that ``owner`` lives until ``expires_at_ms``, and tells who else does. Joins with the first call, and
        anew after ``expires_at_ms`` has passed.

        :param delivers: whether it takes part in delivering.
        """

    async def leave(self, owner: str) -> None:
        """``owner`` is going: the others need not wait until it expires. Nothing if it is not there."""

    def listen(self, *, due: Callable[[Collection[EndpointId]], None], changed: Callable[[], None]) -> None:
        """Calls ``due`` when another worker has accepted something for endpoints that nobody is at work on, and
        ``changed`` when what ``beat`` tells has changed. Either may come too often, late, or never: a look now and
        then stands behind it. Called once, before anything is expected.
        """


class AttemptRequest(msgspec.Struct, frozen=True, gc=False):
    """One attempt to be made: everything a transport may tell the endpoint."""

    endpoint_id: EndpointId
    delivery: Delivery
    attempt: int
    """From 1."""
    lane_name: str
    """Names this incarnation of the lane for ever: the store's id and the lane's."""


class Transport(Protocol):
    """Makes attempts. Whatever happens, ``send`` returns an outcome: it never raises, save for cancellation."""

    def send(self, request: AttemptRequest) -> Awaitable[Outcome]:
        """One attempt within the endpoint's timeout."""

    async def close(self) -> None:
        """Closes all connections."""
