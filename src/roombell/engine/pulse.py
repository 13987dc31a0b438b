"""Measures how hard this process works, for admission control."""

from __future__ import annotations

from collections.abc import Callable

from roombell.engine.admission import WINDOW_S, AdmissionControl, Load
from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.ports import Clock


class Pulse(BackgroundLoop):
    """Feeds ``control`` one ``Load`` per window."""

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
        return WINDOW_S
