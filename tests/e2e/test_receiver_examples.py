"""The example applications, run by the commands that they name, take webhooks over a socket."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from roombell.testing.payloads import sample
from roombell.testing.receiver_driver import Client, sign
from support.commands import Running

FOLDER = Path(__file__).parents[2] / "examples"
LINES_MAX = 30
COMMAND = re.compile(r"Run it: LIVEKIT_API_KEY=devkey LIVEKIT_API_SECRET=secret (.+?)(?:\"\"\")?$", re.MULTILINE)
WITHOUT_INBOX = ("aiohttp", "asgi", "django", "fastapi", "flask", "litestar", "quart")
EXAMPLES = pytest.mark.parametrize("name", WITHOUT_INBOX)
BODY = sample("participant_joined", room="standup", identity="alice")


def text_of(name: str) -> str:
    return (FOLDER / f"{name}_app.py").read_text(encoding="utf-8")


async def started(name: str) -> Running:
    """The example in a process of its own, on a port that is free."""
    found = COMMAND.search(text_of(name))
    assert found is not None, "the example says how to run it"
    command = found[1].replace("8000", "0").split()
    if command[0] != "python":
        command[0:0] = ["python", "-m"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command[1:],
        cwd=FOLDER,
        env=os.environ | {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "secret", "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        process_group=0,
    )  # fmt: skip
    return Running(process)


async def stop(example: Running) -> None:
    if example.process.returncode is None:
        os.killpg(example.process.pid, 9)  # some have a child that does the work
    await example.ended()


@EXAMPLES
def test_an_example_is_short(name: str) -> None:
    assert len(text_of(name).splitlines()) < LINES_MAX


@EXAMPLES
async def test_an_example_takes_a_webhook_and_refuses_a_forged_one(name: str) -> None:
    example = await started(name)
    try:
        origin = await example.url()
        signed = sign(BODY, {"devkey": "secret"})
        client = Client(f"{origin}/livekit")
        answer = await client.post(BODY, authorization=signed)
        assert (answer.status, answer.told["duplicate"]) == (200, False)
        assert (await client.post(BODY + b" ", authorization=signed)).error == (401, "body_hash_mismatch")
        await example.until("participant_joined alice in standup")
        if name == "fastapi":
            assert (await Client(f"{origin}/other").post(BODY, authorization=signed)).status == 200
    finally:
        await stop(example)
