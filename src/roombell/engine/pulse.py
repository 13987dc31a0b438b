"""Measures how hard this process works, for admission control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from roombell.engine.admission import WINDOW_S, AdmissionControl, Load
from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.ports import Clock

IDLE_S: Final = 1.0
"""The window while nothing piles up: an idle process is not to be woken ten times a second."""


class Pulse(BackgroundLoop):
    """Feeds ``control`` one ``Load`` per window, and measures seldom while there is nothing to decide."""

    def __init__(self, clock: Clock, control: AdmissionControl, behind: Callable[[], int]) -> None:
        super().__init__("pulse")
        self._clock, self._control, self._behind = clock, control, behind
        self._wall_s, self._cpu_s = clock.monotonic(), clock.cpu_s()

    async def step(self) -> float:
        wall_s, cpu_s = self._clock.monotonic(), self._clock.cpu_s()
        passed_s = wall_s - self._wall_s
        if passed_s > 0:
            self._control.observe(Load(busy=(cpu_s - self._cpu_s) / passed_s, behind=self._behind()))
            self._wall_s, self._cpu_s = wall_s, cpu_s
        return WINDOW_S if self._behind() or self._control.throttled else IDLE_S
