"""Virtual time for asyncio: a loop on which nothing is ever waited for.

When every task of the loop waits for a timer, time jumps to the earliest one. Hours pass in milliseconds, and the
same program takes the same course each time, as long as it does no real I/O.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Final, TypeVar

T = TypeVar("T")

EPOCH_MS: Final = 1_790_000_000_000
"""Where virtual wall time begins, by default."""


class DeadlockError(RuntimeError):
    """Every task waits for something that can never happen."""


class _JumpingSelector(selectors.SelectSelector):
    """Polls instead of waiting, and moves the loop's time on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise DeadlockError("Every task waits, and no timer is set.")
            self.now_s += max(timeout, 0.0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose ``time()`` jumps from timer to timer."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


class VirtualClock:
    """The engine's ``Clock`` on a ``VirtualTimeLoop``. ``skew_ms`` makes the wall clock jump; time itself does not."""

    def __init__(self, epoch_ms: int = EPOCH_MS) -> None:
        self._epoch_ms = epoch_ms
        self.skew_ms = 0

    def now_ms(self) -> int:
        return self._epoch_ms + round(self.monotonic() * 1000) + self.skew_ms

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def cpu_s(self) -> float:
        return 0.0


def run(main: Coroutine[object, object, T]) -> T:
    """Like ``asyncio.run``, in virtual time.

    :raises DeadlockError: ``main`` waits for something that can never happen.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
