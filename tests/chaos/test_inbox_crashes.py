"""SIGKILL at any moment: what was answered 200 takes effect, each event once for each handler."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from support import inbox_app
from support.service import ServiceProcess
from support.traffic import Producers

SEED = 20_26
KILLS = 20
EVENTS_BETWEEN_KILLS_MAX = 120
KILLED_WHILE_STARTING_SHARE = 0.2
DRAIN_S_MAX = 120
ENDED = (0, -signal.SIGTERM)
"""uvicorn ends by the signal that it was sent."""

Effects = Callable[[], list[tuple[str, str]]]


class Application(ServiceProcess):
    """The application in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        super().__init__(folder, [])
        self._arguments = arguments

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, inbox_app.__file__, *self._arguments)


def on_sqlite(path: Path) -> Effects:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE effect (id TEXT, handler TEXT)")

    def effects() -> list[tuple[str, str]]:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            return connection.execute("SELECT id, handler FROM effect ORDER BY rowid").fetchall()

    return effects


def on_postgresql(url: str) -> Effects:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE effect (id TEXT, handler TEXT, place BIGSERIAL)")

    def effects() -> list[tuple[str, str]]:
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT id, handler FROM effect ORDER BY place").fetchall()

    return effects


@pytest.mark.timeout(300)
async def test_effects_in_sqlite_take_place_exactly_once(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    store = f"sqlite:///{tmp_path}/inbox.db"
    await kill_again_and_again(Application(tmp_path, store, "sqlite", str(path)), on_sqlite(path))


@pytest.mark.timeout(300)
async def test_effects_in_postgresql_take_place_exactly_once_in_whatever_process(
    tmp_path: Path, database_url: str
) -> None:
    """Two processes share the inbox and its database. One is killed again and again; the other one stands still for so
    long, in the middle of its transactions, that its lanes are taken from it, and then goes on."""
    arguments = (database_url, "postgresql", database_url)
    effects = on_postgresql(database_url)
    (tmp_path / "other").mkdir()
    async with Application(tmp_path / "other", *arguments) as other:
        await kill_again_and_again(Application(tmp_path, *arguments), effects, other)
        assert await other.stop() in ENDED


async def kill_again_and_again(application: Application, effects: Effects, other: Application | None = None) -> None:
    draws = random.Random(SEED)
    async with application, asyncio.TaskGroup() as group:
        producers = Producers(application)
        sending = group.create_task(producers.run())
        while application.kills < KILLS:
            await producers.get_in(draws.randint(0, EVENTS_BETWEEN_KILLS_MAX))
            await application.kill()
            await application.spawn()
            if draws.random() < KILLED_WHILE_STARTING_SHARE:
                await application.kill()
                await application.spawn()
            await application.ready()
            if other is not None and application.kills >= KILLS // 4:
                other.signal(signal.SIGSTOP)
        producers.stop()
        await sending
        if other is not None:
            other.signal(signal.SIGCONT)
        expected = Counter({(f"EV_{room}_{n}", handler): 1 for room, count in producers.accepted.items()
                            for n in range(1, count + 1) for handler in ("first", "second")})  # fmt: skip
        await done(effects, len(expected))
        assert await application.stop() in ENDED
    assert producers.problems == []
    assert Counter(effects()) == expected
    assert_in_order(effects())


def assert_in_order(effects: list[tuple[str, str]]) -> None:
    """Each handler did each room's events in the order in which they were accepted."""
    last: Counter[tuple[str, str]] = Counter()
    for event_id, handler in effects:
        _, room, number = event_id.split("_")
        last[room, handler] += 1
        assert int(number) == last[room, handler]


async def done(effects: Effects, count: int) -> None:
    """Returns when so many effects are there: more would be told by whoever counts afterwards."""
    async with asyncio.timeout(DRAIN_S_MAX):
        while len(await asyncio.to_thread(effects)) < count:
            await asyncio.sleep(0.05)
