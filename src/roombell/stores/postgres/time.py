"""The database's clock, as this process reads it.

With several workers the database's time counts: leases that one worker's clock wrote are judged by all others. It is
read now and then and carried on by a clock that no administrator sets, so a worker whose own clock is hours off writes
what the others write. That clock must go on while the machine sleeps: a worker that wakes up believing that no time
has passed would believe in its leases too.
"""

from __future__ import annotations

import time
from typing import Final


def _running_ms() -> float:
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return (time.monotonic() if clock is None else time.clock_gettime(clock)) * 1000


_DRIFT: Final = 1e-4
"""How much two clocks may differ in speed: more than quartz does."""


class DatabaseTime:
    """Right to half a round trip, of the quickest that there was lately.

    An answer that took long says little: the worker may have been stopped meanwhile, or cut off. It counts only where
    it shows that the database's clock was set.
    """

    def __init__(self) -> None:
        self._ahead_ms: float | None = None
        self._error_ms = 0.0
        self._read_at_ms = 0.0
        self._asked_at_ms = 0.0

    def ask(self) -> None:
        """The database is asked for its time now."""
        self._asked_at_ms = _running_ms()

    def answered(self, database_ms: float) -> None:
        """It has answered."""
        now_ms = _running_ms()
        error_ms = (now_ms - self._asked_at_ms) / 2
        ahead_ms = database_ms - (now_ms - error_ms)
        known_error_ms = self._error_ms + (now_ms - self._read_at_ms) * _DRIFT
        was_set = self._ahead_ms is None or abs(ahead_ms - self._ahead_ms) > error_ms + known_error_ms
        if was_set or error_ms <= known_error_ms:
            self._ahead_ms, self._error_ms, self._read_at_ms = ahead_ms, error_ms, now_ms

    def now_ms(self) -> int:
        """UTC milliseconds since the epoch, as the database's clock has them."""
        assert self._ahead_ms is not None, "the store was opened"
        return round(_running_ms() + self._ahead_ms)
