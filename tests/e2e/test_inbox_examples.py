"""The example applications with an inbox, run by the commands that they name: what they write, they write once."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from roombell.testing.payloads import sample
from roombell.testing.receiver_driver import Client, sign
from support.commands import Running

FOLDER = Path(__file__).parents[2] / "examples"
LINES_MAX = 30
COMMAND = re.compile(r"LIVEKIT_API_SECRET=secret (.+?)\"\"\"$", re.MULTILINE)
KEYS = {"devkey": "secret"}
DEADLINE_S = 60
BODIES = [sample("participant_joined", identity=identity) for identity in ("alice", "bob")]


async def started(name: str, folder: Path, **environment: str) -> Running:
    """The example in a process of its own, on a port that is free."""
    found = COMMAND.search((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    assert found is not None, "the example says how to run it"
    command = found[1].replace("8000", "0").replace(f"{name}.py", str(FOLDER / f"{name}.py")).split()
    arguments = command[1:] if command[0] == "python" else ["-m", *command, "--app-dir", str(FOLDER)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments,
        cwd=folder,
        env=os.environ | {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "secret", "PYTHONUNBUFFERED": "1"} | environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    return Running(process)


@pytest.mark.parametrize("name", ["django_inbox_app", "fastapi_inbox_app"])
def test_an_example_is_short(name: str) -> None:
    assert len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) < LINES_MAX


async def test_django_with_an_inbox_writes_each_visit_once(tmp_path: Path) -> None:
    def visits() -> list[str]:
        with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
            return [row[0] for row in connection.execute("SELECT identity FROM visit ORDER BY identity")]

    for _ in range(2):  # what it knows outlives the process
        example = await started("django_inbox_app", tmp_path)
        await each_twice(example, visits)


async def test_fastapi_with_sqlalchemy_and_postgresql_writes_each_visit_once(tmp_path: Path, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE visit (identity TEXT)")

        def visits() -> list[str]:
            return [row[0] for row in connection.execute("SELECT identity FROM visit ORDER BY identity")]

        for _ in range(2):
            example = await started("fastapi_inbox_app", tmp_path, DATABASE_URL=database_url)
            await each_twice(example, visits)


async def each_twice(example: Running, visits: Callable[[], list[str]]) -> None:
    try:
        client = Client(f"{await example.url()}/livekit")
        for body in BODIES * 2:
            assert (await client.post(body, authorization=sign(body, KEYS))).status == 200
        assert (await client.post(BODIES[0] + b" ", authorization=sign(BODIES[0], KEYS))).status == 401
        async with asyncio.timeout(DEADLINE_S):
            while len(visits()) < 2:
                await asyncio.sleep(0)
        assert visits() == ["alice", "bob"]
    finally:
        if example.process.returncode is None:
            example.process.kill()
        await example.ended()
