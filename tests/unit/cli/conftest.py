"""Commands run to their end in this process; those that serve, in one of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import roombell
from roombell.cli.app import run
from support.commands import Ended, Running

SOURCE = str(Path(roombell.__file__).parents[1])


@pytest.fixture(autouse=True)
def clean_place(tmp_path, monkeypatch):
    """An empty folder, and an environment that configures nothing."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("LIVEKIT_", "ROOMBELL_")):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def cli(capsys):
    """Runs a command to its end; the test's own servers go on meanwhile."""

    async def call(*arguments: str) -> Ended:
        capsys.readouterr()
        code = await asyncio.to_thread(run, arguments)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return call


@pytest.fixture
async def start() -> AsyncIterator:
    """Starts commands in processes of their own."""
    started: list[Running] = []

    async def call(*arguments: str, **env: str) -> Running:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "roombell.cli", *arguments,
            env={**os.environ, "PYTHONPATH": SOURCE, **env},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        started.append(Running(process))
        return started[-1]

    yield call
    for running in started:
        if running.process.returncode is None:
            running.process.kill()
        await running.ended()
