"""``roombell`` with a clock that is some hours off: ``python skewed_serve.py HOURS serve ...``."""

from __future__ import annotations

import sys

from roombell.cli.app import run
from roombell.wiring import SystemClock

HOUR_MS = 3_600_000

if __name__ == "__main__":
    skew_ms = int(sys.argv[1]) * HOUR_MS
    right = SystemClock.now_ms
    SystemClock.now_ms = lambda self: right(self) + skew_ms
    sys.exit(run(sys.argv[2:]))
