"""One run of a scenario: a machine of its own, driven step by step. Pure: time passes because it is told to."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

import msgspec

from roombell.rooms.effects import Happened
from roombell.rooms.machine import Machine
from roombell.rooms.play.misbehaving import Misbehaving
from roombell.rooms.play.scenario import Action, Scenario
from roombell.rooms.play.stage import Stage
from roombell.rooms.settings import RoomSettings


class Told(msgspec.Struct, frozen=True):
    """An event, and when the server tells it: UTC milliseconds."""

    at_ms: int
    happened: Happened


class Run:
    """One run. ``next_ms`` says when something happens next; ``advance`` lets it.

    :param number: from 1; ``{n}`` in the names of rooms.
    """

    def __init__(
        self,
        scenario: Scenario,
        number: int,
        *,
        start_ms: int,
        token_bytes: Callable[[int], bytes],
        settings: RoomSettings,
    ) -> None:
        self._scenario = scenario
        self._number = number
        self._start_ms = start_ms
        self._token_bytes = token_bytes
        self._settings = settings
        self._misbehaving = Misbehaving(scenario.misbehaviours, token_bytes)
        self._waiting: list[tuple[int, int, Happened]] = []
        """What is still to be told: when, and its place among all."""
        self._count = 0
        self._steps_done = 0
        self._set_up(start_ms)

    @property
    def next_ms(self) -> int | None:
        """None: the run is over."""
        candidates = [self._waiting[0][0]] if self._waiting else []
        if self._steps_done < len(self._scenario.steps):
            candidates.append(self._start_ms + self._scenario.steps[self._steps_done].at_ms)
        due_ms = self._machine.next_due_ms
        if due_ms is not None and (candidates or self._is_going_on(due_ms)):
            candidates.append(due_ms)
        return min(candidates, default=None)

    def advance(self, now_ms: int) -> Iterator[Told]:
        """What is told up to ``now_ms``, in order.

        :raises ConfigError: a step cannot be done; it names the file and the line.
        """
        self._machine.at(now_ms)
        self._take(now_ms)
        steps = self._scenario.steps
        while self._steps_done < len(steps) and self._start_ms + steps[self._steps_done].at_ms <= now_ms:
            step = steps[self._steps_done]
            self._steps_done += 1
            if step.action == Action.CRASH:
                self._set_up(now_ms)
            else:
                self._stage.do(step)
            self._take(now_ms)
        while self._waiting and self._waiting[0][0] <= now_ms:
            at_ms, _, happened = heapq.heappop(self._waiting)
            yield Told(at_ms, happened)

    def _set_up(self, now_ms: int) -> None:
        """A server that knows nothing: at the beginning, and after a crash, which tells nobody of anything."""
        self._machine = Machine(settings=self._settings, token_bytes=self._token_bytes)
        self._machine.at(now_ms)
        self._stage = Stage(self._machine, self._room_name(), self._number)

    def _room_name(self) -> str:
        room = self._scenario.room
        return room if "{n}" in room or self._scenario.repeat == 1 else f"{room}-{{n}}"

    def _is_going_on(self, due_ms: int) -> bool:
        """Whether what follows by itself still belongs to the scenario."""
        lasts_until_ms = self._start_ms + self._scenario.steps[-1].at_ms + self._scenario.settle_ms
        machine = self._machine
        return due_ms <= lasts_until_ms and bool(machine.rooms.listed() or machine.egresses.listed(active=True))

    def _take(self, now_ms: int) -> None:
        for effect in self._machine.take_effects():
            if isinstance(effect, Happened):
                for at_ms, happened in self._misbehaving.told(effect, now_ms):
                    self._count += 1
                    heapq.heappush(self._waiting, (at_ms, self._count, happened))
