"""Threads for callables that block: a bounded number, kept, and never waited for at the end of the process.

The standard library's pool joins its threads when the interpreter ends, so that one call which never returns would keep
a program from ending. These are daemons: what hangs in one goes with the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """Runs callables in up to ``threads_max`` threads, started as they are needed; what is beyond waits its turn.

    :param purpose: what the threads are called, in tools that show threads.
    """

    def __init__(self, threads_max: int, purpose: str = "handler") -> None:
        self._threads_max = threads_max
        self._purpose = purpose
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = self._wanted = 0

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """What ``call`` returns or raises. Cancelling the future takes it back if it has not begun."""
        future: Future[T] = Future()
        with self._lock:
            self._wanted += 1
            if self._wanted > self._started < self._threads_max:
                self._start_one()
        self._queue.put(partial(_run, future, call))
        return future

    def _start_one(self) -> None:
        thread = threading.Thread(target=self._work, name=f"roombell {self._purpose} {self._started + 1}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine has no more of them now
            if self._started == 0:
                self._wanted -= 1
                raise
        else:
            self._started += 1

    def close(self) -> None:
        """Ends the threads that are idle now, and each other one when its call has returned. Waits for none."""
        with self._lock:
            started, self._started = self._started, 0
        for _ in range(started):
            self._queue.put(None)

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            work()
            with self._lock:
                self._wanted -= 1
            del work  # an idle thread keeps nothing alive


def _run(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
        future.set_exception(error)
    except BaseException as error:  # noqa: BLE001 - `sys.exit()` in a thread is not to end the event loop
        future.set_exception(RuntimeError(f"The call ended with {type(error).__name__}."))
    else:
        future.set_result(result)
