"""What the receiver needs of others: somewhere to put verified events, and a thread for what blocks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol

from roombell.events import WebhookEvent
from roombell.receiver.delivery import DeliveryInfo

Listener = Callable[[WebhookEvent, DeliveryInfo], object]
"""Is told of each verified webhook as it comes, repeats included. It must not block."""

InThread = Callable[[Callable[[], object]], Awaitable[object]]
"""Runs a callable where it may block, with the caller's context variables, and gives what it returns."""


class Sink(Protocol):
    """Takes verified events in the handlers' stead, to run the handlers when it sees fit.

    When either method returns, the sender is answered 200 and forgets the event: from then on it is the sink's. May be
    called by several threads at once, with events that came before.
    """

    async def put(self, event: WebhookEvent, delivery: DeliveryInfo) -> bool:
        """Returns when the event is safe; True means that it was there already, and nothing was done.

        :raises ServiceError: it cannot be taken now. The sender is answered 503, with ``Retry-After``.
        """

    def put_blocking(self, event: WebhookEvent, delivery: DeliveryInfo) -> bool:
        """The same, for callers with no event loop (WSGI, a synchronous Django view); blocks the calling thread."""


class TransactionBlock(Protocol):
    """For ``async with`` or ``with``, as the database wants it; gives what the handler writes with."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...


Transactional = Callable[[WebhookEvent], TransactionBlock]
"""A transaction that commits once for the running handler and this event."""
