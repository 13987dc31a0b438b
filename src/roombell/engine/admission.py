"""How much may come in. Pure: load in, answer out.

Two bounds. The first is plain: only so many events, and so many bytes, may wait for a commit. The second keeps
ingest from starving delivery, since both want the same processor: while the process is saturated *and* deliveries
that could be sent are piling up, the rate of acceptance is lowered by a fifth each window, and it rises again when
either is over. A backlog alone lowers nothing: it may belong to an endpoint that is slow, and the disk is there to
hold it. (The rule is that of TCP's congestion control: back off by a factor, feel the way up again.)
"""

from __future__ import annotations

from typing import Final

import msgspec

WINDOW_S: Final = 0.1
_SATURATED: Final = 0.95
_BACK_OFF: Final = 0.8
_RISE: Final = 1.25
_FLOOR: Final = 8
"""Accepted per window however bad it is: acceptance slows down, and never stops."""
_UNLIMITED: Final = 1_000_000


class AdmissionLimits(msgspec.Struct, frozen=True):
    """The bounds on what waits for a commit, and on the backlog from which saturation matters."""

    waiting_max: int = 4096
    waiting_bytes_max: int = 64 * 1024 * 1024
    behind_max: int = 2048


class Load(msgspec.Struct, frozen=True):
    """One window's measurements."""

    busy: float
    """The share of one processor that this process used, 0 to 1."""
    behind: int
    """Deliveries that are due, could be sent, and are not in flight."""


class AdmissionControl:
    """Decides for each event whether it may come in. Feed it a ``Load`` every ``WINDOW_S`` seconds."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._per_window = _UNLIMITED
        self._admitted = 0

    @property
    def throttled(self) -> bool:
        """Whether acceptance is limited for the sake of delivery."""
        return self._per_window < _UNLIMITED

    def observe(self, load: Load) -> None:
        """Ends a window."""
        if load.busy >= _SATURATED and load.behind > self._limits.behind_max:
            self._per_window = max(_FLOOR, int(min(self._per_window, self._admitted) * _BACK_OFF))
        elif self.throttled:
            raised = int(self._per_window * _RISE) + _FLOOR
            # What is far above what comes in limits nothing: forget it, so that the next limit starts from the truth.
            self._per_window = raised if raised < 4 * self._admitted else _UNLIMITED
        self._admitted = 0

    def refuse(self, waiting: int, waiting_bytes: int) -> str | None:
        """Why one more event cannot come in now, as a sentence; None if it can, and then it counts."""
        if waiting >= self._limits.waiting_max:
            return f"{waiting} events wait to be written, which is the limit."
        if waiting_bytes >= self._limits.waiting_bytes_max:
            return f"{waiting_bytes} bytes of events wait to be written, which is over the limit."
        if self._admitted >= self._per_window:
            return "Events come in faster than this machine can deliver them."
        self._admitted += 1
        return None
