"""Plays scenarios: thousands of rooms in which scripted participants come and go, as values, without waiting."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from roombell.rooms.play.reading import load_scenario, parse_scenario
from roombell.rooms.play.run import Run, Told
from roombell.rooms.play.scenario import Scenario
from roombell.rooms.settings import RoomSettings

__all__ = ["Scenario", "Told", "load_scenario", "parse_scenario", "play"]


def play(
    scenario: Scenario,
    *,
    start_ms: int,
    token_bytes: Callable[[int], bytes],
    settings: RoomSettings | None = None,
) -> Iterator[Told]:
    """The events of all runs of ``scenario``, in the order in which the server tells them, with their times.

    Nothing is waited for: whoever wants it in real time waits between one event and the next.

    :param start_ms: when the first run begins: UTC milliseconds.
    :param token_bytes: what ids are made of; from a seeded source, equal calls give equal events.
    :raises ConfigError: a step cannot be done; it names the file and the line.
    """
    settings = settings or RoomSettings()
    runs = (_run(scenario, number, start_ms, token_bytes, settings) for number in range(1, scenario.repeat + 1))
    queue: list[tuple[int, int, Run]] = []
    upcoming = next(runs, None)
    while queue or upcoming is not None:
        while upcoming is not None and (not queue or upcoming[0] <= queue[0][0]):
            heapq.heappush(queue, upcoming)
            upcoming = next(runs, None)
        now_ms, number, run = heapq.heappop(queue)
        yield from run.advance(now_ms)
        next_ms = run.next_ms
        if next_ms is not None:
            heapq.heappush(queue, (next_ms, number, run))


def _run(
    scenario: Scenario, number: int, start_ms: int, token_bytes: Callable[[int], bytes], settings: RoomSettings
) -> tuple[int, int, Run]:
    """A run, by when it begins: a queue's entry. It is made when its turn comes, so that memory is bounded."""
    at_ms = start_ms + (number - 1) * scenario.spacing_ms
    run = Run(scenario, number, start_ms=at_ms, token_bytes=token_bytes, settings=settings)
    return at_ms + scenario.steps[0].at_ms, number, run
