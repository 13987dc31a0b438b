"""The transport that calls: a handler of the user's in place of HTTP, one call for each attempt.

A handler answers as an endpoint does, so that all that the engine knows about answers holds for handlers too: it
returns (200), raises (500), asks for time (429 with ``Retry-After``), gives the event up (422, ``abort-message``), or
is not done in time (``timeout_wait``).

No lane ever has two calls under way, not even of one event. A call that is out of time is cancelled; one that cannot be
(a thread, or a coroutine that takes no notice) is left to itself, and until it has ended every further attempt in its
lane fails at once. So such an event is retried, and given up in the end, and nothing waits for it for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Final, Protocol

import msgspec

from roombell.engine.model import Answered, EndpointId, Failed, FailureKind, Outcome
from roombell.engine.ports import AttemptRequest, Clock
from roombell.errors import AlreadyDone, GiveUp, RetryLater
from roombell.events import WebhookEvent, parse
from roombell.receiver.delivery import DeliveryInfo
from roombell.receiver.ports import InThread
from roombell.transport.threads import Threads

_log: Final = logging.getLogger("roombell.inbox")

EXCERPT_CHARS_MAX: Final = 1000
"""How much of an exception's text is handed on; the attempt's record keeps less."""
CANCEL_GRACE_S: Final = 1.0
"""How long a coroutine that is cancelled may take to end before it is left to itself."""


class Callee(Protocol):
    """A handler that can be called."""

    @property
    def name(self) -> str:
        """Names it in logs."""

    async def run(self, event: WebhookEvent, delivery: DeliveryInfo, in_thread: InThread) -> None:
        """Calls it and returns when it is done. What it raises comes through."""


class HandlerTarget(msgspec.Struct, frozen=True):
    """A handler, and how long one call of it may take."""

    name: str
    """The endpoint's."""
    handler: Callee
    timeout_s: float
    threads_max: int = 1
    """How many of its calls may be in threads at once."""


class Handling(msgspec.Struct, frozen=True):
    """What a handler is being called for."""

    handler: str
    """The endpoint's name."""
    event: WebhookEvent
    event_id: str
    """The id under which the store keeps the event."""
    attempt: int
    over_at_s: float
    """When its time is over, by the monotonic clock."""
    committed: bool = False
    """Whether this call has committed a transaction."""


HANDLING: Final[ContextVar[Handling]] = ContextVar("roombell_handling")
"""Set while a handler runs, in its thread and in the tasks that it starts, too."""


class HandlerTransport:
    """Calls handlers. Use it within one event loop; plain functions run in threads of its own.

    Each handler has threads of its own: calls that hang keep theirs for ever, and that must be no other handler's loss.

    :param targets: the handlers by endpoint.
    """

    def __init__(self, targets: Mapping[EndpointId, HandlerTarget], *, clock: Clock) -> None:
        self._targets = targets
        self._clock = clock
        self._threads = {endpoint_id: Threads(target.threads_max) for endpoint_id, target in targets.items()}
        self._left: set[str] = set()
        """Lanes with a call that is out of time and has not ended."""

    async def send(self, request: AttemptRequest) -> Outcome:
        """One call within the handler's timeout. Returns an outcome whatever happens, and raises nothing."""
        target = self._targets.get(request.endpoint_id)
        if target is None:
            return Failed(FailureKind.CONFIGURATION, f"There is no handler number {request.endpoint_id}.", 0)
        if request.lane_name in self._left:
            return Failed(FailureKind.TIMEOUT_WAIT, "An earlier call, long out of time, has not ended yet.", 0)
        started_s = self._clock.monotonic()
        call = asyncio.get_running_loop().create_task(self._call(target, request, started_s))
        in_time = False
        try:
            in_time = await _is_done(call, target.timeout_s)
        finally:
            if not in_time:
                await self._cancel(call, request.lane_name)
        duration_ms = round((self._clock.monotonic() - started_s) * 1000)
        if not in_time:
            _log.error("%s was not done with %s within %g s", target.name, _told(request), target.timeout_s)
            return Failed(FailureKind.TIMEOUT_WAIT, f"It was not done within {target.timeout_s:g} s.", duration_ms)
        error = asyncio.CancelledError() if call.cancelled() else call.exception()
        return _outcome(target, request, error, duration_ms)

    async def close(self) -> None:
        """Ends the threads that are idle. What runs in others ends with the process."""
        for threads in self._threads.values():
            threads.close()

    async def _call(self, target: HandlerTarget, request: AttemptRequest, started_s: float) -> None:
        delivery = request.delivery
        event = parse(delivery.body)
        over_at_s = started_s + target.timeout_s
        HANDLING.set(Handling(target.name, event, delivery.event_id, request.attempt, over_at_s))
        info = DeliveryInfo(delivery.event_id, request.attempt, delivery.sequence, request.lane_name)
        in_thread = partial(self._in_thread, self._threads[request.endpoint_id], request.lane_name)
        try:
            await target.handler.run(event, info, in_thread)
        except SystemExit as error:  # a task lets it through to the event loop, which would end, and the application
            raise RuntimeError(f"The call ended with {type(error).__name__}.") from error

    async def _in_thread(self, threads: Threads, lane: str, call: Callable[[], object]) -> object:
        future = threads.submit(partial(copy_context().run, call))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.done():
                self._left.add(lane)
                future.add_done_callback(partial(self._ended, asyncio.get_running_loop(), lane))
            raise

    def _ended(self, loop: asyncio.AbstractEventLoop, lane: str, _future: Future[object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(self._left.discard, lane)

    async def _cancel(self, call: asyncio.Task[None], lane: str) -> None:
        call.cancel()
        await asyncio.wait((call,), timeout=CANCEL_GRACE_S)
        if not call.done():
            self._left.add(lane)
            call.add_done_callback(lambda _: self._left.discard(lane))
        call.add_done_callback(_take_note)


async def _is_done(call: asyncio.Task[None], timeout_s: float) -> bool:
    """Waits for a call; whether it has ended in time. ``asyncio.wait`` costs twice as much on this hot path."""
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not woken.done():
            woken.set_result(None)

    timer = loop.call_later(timeout_s, wake)
    call.add_done_callback(wake)
    try:
        await woken
    finally:
        timer.cancel()
        call.remove_done_callback(wake)
    return call.done()


def _outcome(target: HandlerTarget, request: AttemptRequest, error: BaseException | None, duration_ms: int) -> Outcome:
    match error:
        case None | AlreadyDone():
            return Answered(200, duration_ms)
        case RetryLater(after_s=after_s):
            return Answered(429, duration_ms, retry_after=str(math.ceil(after_s)), excerpt=_excerpt(error))
        case GiveUp():
            _log.warning("%s gives %s up: %s", target.name, _told(request), error)
            return Answered(422, duration_ms, control="abort-message", excerpt=_excerpt(error))
        case _:
            _log.error("%s failed at %s", target.name, _told(request), exc_info=error)
            return Answered(500, duration_ms, excerpt=f"{type(error).__name__}: ".encode() + _excerpt(error))


def _excerpt(error: BaseException) -> bytes:
    return str(error)[:EXCERPT_CHARS_MAX].encode("utf-8", "replace")


def _take_note(call: asyncio.Task[None]) -> None:
    """What a call says that is out of time is nobody's to hear."""
    if not call.cancelled() and (error := call.exception()) is not None:
        _log.info("A call that was out of time ended with %s", type(error).__name__)


def _told(request: AttemptRequest) -> str:
    delivery = request.delivery
    return f"{delivery.event_type} {delivery.event_id} (attempt {request.attempt})"
