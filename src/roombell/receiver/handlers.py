"""The user's handlers: which are called for an event, in which order, and where.

An asynchronous handler runs in the event loop that received the webhook. A synchronous one runs in a thread, so that it
cannot hold up that loop. Where there is no loop (WSGI), a synchronous handler is simply called, and an asynchronous one
gets a loop of its own for as long as it runs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Final, cast

from roombell.errors import UsageError
from roombell.events import WebhookEvent
from roombell.receiver.delivery import DeliveryInfo
from roombell.receiver.families import of_family
from roombell.receiver.ports import InThread

HandlerFunction = Callable[[WebhookEvent], object] | Callable[[WebhookEvent, DeliveryInfo], object]
"""What users write: takes the event, or the event and how it came; a plain function or a coroutine function."""

_CACHED_TYPES_MAX: Final = 1024
"""Types come from the wire: a stranger must not fill memory."""


async def in_default_thread(call: Callable[[], object]) -> object:
    """Runs ``call`` in a thread of the event loop's default pool."""
    import asyncio

    return await asyncio.to_thread(call)


def _run_to_end(awaitable: Awaitable[object]) -> None:
    """Waits for it in an event loop of its own; in another thread if this one has a loop that is running."""
    import asyncio

    async def wait() -> None:
        await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(wait())
    else:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            pool.submit(copy_context().run, asyncio.run, wait()).result()


@contextmanager
def _its_own_cancelling(name: str) -> Iterator[None]:
    """Makes an ordinary failure of a cancellation that comes out of the handler ``name``: let through, it would look
    as if the request were given up, and the sender would get no answer.
    """
    try:
        yield
    except BaseException as error:
        if _is_cancelling(error) and not _is_cancelled():
            raise RuntimeError(f"Something that the handler {name} waited for was cancelled.") from error
        raise


def _is_cancelling(error: BaseException) -> bool:
    import asyncio

    return isinstance(error, asyncio.CancelledError)


def _is_cancelled() -> bool:
    """Whether somebody cancelled the running task."""
    import asyncio

    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0


class Handler:
    """One function of the user's, and how it wants to be called."""

    __slots__ = ("_is_async", "_takes_delivery", "_types", "function", "name")

    def __init__(self, function: HandlerFunction, types: re.Pattern[str] | None) -> None:
        self.name = name_of(function)
        """Where it is defined, as ``app.hooks.on_joined``: the same in every process that runs the same code."""
        self.function = function
        self._takes_delivery = _takes_delivery(function, self.name)
        self._is_async = _is_async(function)
        self._types = types

    def wants(self, event_type: str) -> bool:
        """Whether it asked for events of this type."""
        return self._types is not None and self._types.match(event_type) is not None

    async def run(self, event: WebhookEvent, delivery: DeliveryInfo, in_thread: InThread = in_default_thread) -> None:
        """Calls it and returns when it is done. What it raises comes through.

        :raises RuntimeError: something that it waited for was cancelled. Not where the caller is what is cancelled.
        """
        with _its_own_cancelling(self.name):
            result = (
                self._call(event, delivery) if self._is_async else await in_thread(lambda: self._call(event, delivery))
            )
            if inspect.isawaitable(result):  # also of a plain function that returns a coroutine
                await result

    def run_blocking(self, event: WebhookEvent, delivery: DeliveryInfo) -> None:
        """The same in the calling thread, which has no event loop."""
        with _its_own_cancelling(self.name):
            result = self._call(event, delivery)
            if inspect.isawaitable(result):
                _run_to_end(result)

    def __repr__(self) -> str:
        return f"<Handler {self.name}>"

    def _call(self, event: WebhookEvent, delivery: DeliveryInfo) -> object:
        event = of_family(event)
        try:
            if self._takes_delivery:
                return cast("Callable[[WebhookEvent, DeliveryInfo], object]", self.function)(event, delivery)
            return cast("Callable[[WebhookEvent], object]", self.function)(event)
        except StopIteration as error:  # no future can hold it: whoever waits for the thread would wait for ever
            raise RuntimeError(f"The handler {self.name} raised StopIteration.") from error


class Handlers:
    """All handlers of a receiver. They are added while the application starts; then threads may share it."""

    def __init__(self) -> None:
        self._all: tuple[Handler, ...] = ()
        self._otherwise: tuple[Handler, ...] = ()
        self._by_type: dict[str, tuple[Handler, ...]] = {}

    def add(self, function: HandlerFunction, types: re.Pattern[str]) -> None:
        """Has ``function`` called for the events whose type matches.

        :raises UsageError: see ``Receiver.on``.
        """
        self._all = (*self._all, Handler(function, types))
        self._by_type = {}

    def add_otherwise(self, function: HandlerFunction) -> None:
        """Has ``function`` called for the events that no other handler asked for.

        :raises UsageError: see ``Receiver.otherwise``.
        """
        self._otherwise = (*self._otherwise, Handler(function, None))
        self._by_type = {}

    def __iter__(self) -> Iterator[Handler]:
        return iter((*self._all, *self._otherwise))

    def __len__(self) -> int:
        return len(self._all) + len(self._otherwise)

    def matching(self, event_type: str) -> tuple[Handler, ...]:
        """Those to call for an event of this type, in the order in which they were added."""
        by_type = self._by_type  # whoever adds a handler meanwhile puts another in its place
        found = by_type.get(event_type)
        if found is None:
            found = tuple(handler for handler in self._all if handler.wants(event_type)) or self._otherwise
            if len(by_type) < _CACHED_TYPES_MAX:
                by_type[event_type] = found
        return found


def name_of(function: HandlerFunction) -> str:
    """Where a function is defined, as ``app.hooks.on_joined``."""
    unwrapped = _unwrapped(function)
    name = getattr(unwrapped, "__qualname__", None) or type(unwrapped).__qualname__
    return f"{getattr(unwrapped, '__module__', '')}.{name}"


def _unwrapped(function: object) -> object:
    """What stands behind ``functools.partial``."""
    while (inner := getattr(function, "func", None)) is not None and hasattr(function, "keywords"):
        function = inner
    return function


def _is_async(function: object) -> bool:
    inner = _unwrapped(function)
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(getattr(inner, "__call__", None))  # noqa: B004


def _takes_delivery(function: object, name: str) -> bool:
    """Whether it takes two arguments, or only the event.

    :raises UsageError: it is no function, or takes another number of arguments.
    """
    if not callable(function):
        raise UsageError(f"A handler is a function; {type(function).__name__} was given.")
    inner = _unwrapped(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise UsageError(f"The handler {name} is a generator: its body would never run. Take the `yield` out of it.")
    try:
        signature = inspect.signature(function)
    except ValueError:  # a built-in that tells nothing, as `print` of some versions
        return False
    for arguments in ((None,), (None, None)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments) > 1
    raise UsageError(f"The handler {name} takes {signature}: it must take the event, or the event and its delivery.")
