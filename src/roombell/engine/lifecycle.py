"""One start/stop contract for everything that runs beside the caller.

A background loop is a ``step`` that is called again and again. It says how long it can wait; ``wake`` calls it
earlier. A step that fails is logged and tried again later: no failure ends a loop. ``start`` and ``stop`` may be
called in any order and any number of times; ``stop`` returns when the loop has ended, and is not cancelled into
leaving it running.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final

from roombell.errors import ServiceError

_log = logging.getLogger("roombell.engine")
_FAILURE_PAUSE_S: Final = 0.5
_FAILURE_PAUSE_S_MAX: Final = 10.0


class BackgroundLoop(ABC):
    """A loop with the contract of this module. Bound to the event loop that is running when it is started."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._failures = 0
        self._cut_short = False

    @abstractmethod
    async def step(self) -> float:
        """Does what is to be done now. Returns in how many seconds it wants to be called again at the latest."""

    @property
    def running(self) -> bool:
        """Whether the loop is started and not stopping."""
        return self._task is not None and not self._stopping

    def start(self) -> None:
        """Begins the loop; nothing if it has begun."""
        if self._task is None:
            self._stopping = False
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"roombell {self._name}")

    def wake(self) -> None:
        """Calls the step soon, whatever it said about waiting. Cheap; may be called at any time."""
        self._wake.set()

    async def stop(self) -> None:
        """Ends the loop after the step under way. Nothing if it never ran."""
        task = self._task
        if task is None:
            return
        self._stopping = True
        self._wake.set()
        await asyncio.shield(task)
        if self._task is task:  # else somebody stopped it too, and started it again
            self._task = None

    async def abandon(self) -> None:
        """Ends the loop in the middle of its step. For a step that waits for what may never come."""
        task, self._task = self._task, None
        if task is not None:
            self._stopping = True
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            pause_s = await self._guarded_step()
            if pause_s > 0:
                await self._pause(pause_s)
            else:
                await asyncio.sleep(0)  # whatever the step waits for, others must have their turn to bring it about

    async def _guarded_step(self) -> float:
        try:
            pause_s = await self.step()
        except ServiceError as error:
            if self._failures == 0:
                _log.warning("The %s cannot work now and tries again: %s", self._name, error)
        except Exception:  # noqa: BLE001 - a fault in one step must not end the loop
            _log.exception("The %s failed and tries again. This is a fault of Roombell.", self._name)
        else:
            self._failures = 0
            return pause_s
        if not self._cut_short or self._failures == 0:  # being asked often does not make the trouble older
            self._failures += 1
        await asyncio.sleep(0)  # a step that fails at once must not keep the loop to itself
        return min(_FAILURE_PAUSE_S * float(2 ** min(self._failures - 1, 8)), _FAILURE_PAUSE_S_MAX)

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
            self._cut_short = True
        except TimeoutError:
            self._cut_short = False


async def abandon_all(loops: Iterable[BackgroundLoop]) -> None:
    """Ends loops in the middle of their steps; all of them, also where the caller is cancelled meanwhile."""
    await asyncio.shield(asyncio.gather(*[loop.abandon() for loop in loops]))
