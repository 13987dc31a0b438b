"""The event loop that an inbox runs in; one in a thread of its own, for applications that have none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Final, TypeVar

from roombell.errors import Stopped, UsageError

T = TypeVar("T")

_END_S: Final = 10.0


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that the caller is in."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Home:
    """The process and the event loop in which it is made."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._pid = os.getpid()

    @property
    def is_of_this_process(self) -> bool:
        """False where the process was forked since."""
        return self._pid == os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether the caller is in this event loop."""
        return running_loop() is self.loop

    def check(self) -> None:
        """:raises Stopped: nothing can run in it: the process was forked, or the loop has ended or stands still."""
        if not self.is_of_this_process:
            raise Stopped("The inbox was started before this process was forked. Start it in each worker.")
        if not self.loop.is_running():
            raise Stopped(
                "The event loop that the inbox was started in does not run, and so neither does the inbox, as after "
                "`asyncio.run(inbox.start())`. Start it in the loop that the application runs in, as its lifespan, or "
                "with `start_in_thread()`."
            )

    def check_here(self) -> None:
        """:raises UsageError: the caller is in another event loop; what it waits for would never come."""
        if running_loop() not in (self.loop, None):
            raise UsageError(
                "The inbox runs in another event loop than this one. Ask it there: in a handler that is `async def`, "
                "or in the application whose lifespan it is."
            )

    def check_elsewhere(self) -> None:
        """:raises UsageError: the caller is in this event loop, and would wait for what cannot run meanwhile."""
        if self.is_here:
            raise UsageError(
                "This would hold up the event loop that the inbox runs in. In a coroutine use what is awaited: "
                "`await receiver.answer(…)`, `await receiver.take(…)`."
            )


class LoopThread:
    """A daemon thread in which an event loop runs until ``close``."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="roombell inbox", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[object, object, T]) -> Future[T]:
        """Runs ``work`` in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Ends the loop and its thread, if that can be done within seconds."""
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()
