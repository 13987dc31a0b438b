"""What a worker makes of the database's clock."""

from __future__ import annotations

import pytest

from roombell.stores.postgres import time
from roombell.stores.postgres.time import DatabaseTime


class Running:
    """A clock that runs since the machine was started, moved on by hand."""

    def __init__(self) -> None:
        self.now_ms = 50_000.0

    def __call__(self) -> float:
        return self.now_ms


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    running = Running()
    monkeypatch.setattr(time, "_running_ms", running)
    return running


def asked(clock: DatabaseTime, running: Running, *, ahead_ms: float, there_ms: float, back_ms: float) -> None:
    """The database, whose clock is ``ahead_ms`` ahead, is asked; the way there and back takes a while."""
    clock.ask()
    running.now_ms += there_ms
    read_ms = running.now_ms + ahead_ms
    running.now_ms += back_ms
    clock.answered(read_ms)


def test_it_is_right_to_half_a_round_trip(running: Running) -> None:
    clock = DatabaseTime()
    asked(clock, running, ahead_ms=1_000_000, there_ms=0, back_ms=10)
    assert abs(clock.now_ms() - (running.now_ms + 1_000_000)) <= 5


def test_an_answer_that_took_long_does_not_spoil_what_is_known(running: Running) -> None:
    clock = DatabaseTime()
    asked(clock, running, ahead_ms=1_000_000, there_ms=1, back_ms=1)
    asked(clock, running, ahead_ms=1_000_000, there_ms=7_000, back_ms=0)
    asked(clock, running, ahead_ms=1_000_000, there_ms=0, back_ms=7_000)
    assert abs(clock.now_ms() - (running.now_ms + 1_000_000)) <= 1


def test_clocks_that_drift_apart_are_followed(running: Running) -> None:
    clock = DatabaseTime()
    for minute in range(60):
        asked(clock, running, ahead_ms=1_000_000 + 3 * minute, there_ms=2, back_ms=2)
        running.now_ms += 60_000
    assert abs(clock.now_ms() - (running.now_ms + 1_000_000 + 3 * 59)) <= 10


def test_a_clock_that_was_set_is_followed_at_once(running: Running) -> None:
    clock = DatabaseTime()
    asked(clock, running, ahead_ms=1_000_000, there_ms=1, back_ms=1)
    asked(clock, running, ahead_ms=-3_600_000, there_ms=200, back_ms=200)
    assert abs(clock.now_ms() - (running.now_ms - 3_600_000)) <= 200
