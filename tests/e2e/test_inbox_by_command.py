"""The commands for deliveries, on the store of an inbox whose application is stopped."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from roombell import Inbox, Receiver
from roombell.inbox import GiveUp, HandlerSettings
from support.inbox import KEYS, event, take


async def run(*arguments: str, store: str) -> list[dict]:
    environment = {
        "ROOMBELL_STORE": store,
        "LIVEKIT_API_KEY": "devkey",
        "LIVEKIT_API_SECRET": "secret",
        "ROOMBELL_PORT": "1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "roombell.cli", *arguments, "--json",
        env=os.environ | environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


async def test_what_a_handler_gave_up_is_found_and_redriven_from_the_command_line(tmp_path):
    store = f"sqlite:///{tmp_path}/inbox.db"
    receiver, done = Receiver(keys=KEYS), []
    inbox = Inbox(receiver, store=store)
    mended = False

    @receiver.on("participant_joined")
    @inbox.handler(HandlerSettings(name="bill"))
    async def bill(one):
        if not mended:
            raise GiveUp("There is no contract.")
        done.append(one.id)

    async with inbox:
        await take(receiver, event(id="EV_1"))
        await inbox.drain(timeout_s=30)
    (endpoint,) = await run("endpoints", store=store)
    assert (endpoint["name"], endpoint["dead"]) == ("bill", 1)
    (dead,) = await run("deliveries", "--state", "dead", store=store)
    assert (dead["endpoint"], dead["event_id"]) == ("bill", "EV_1")
    assert (await run("redrive", "--endpoint", "bill", store=store))[-1]["done"] == 1
    mended = True
    async with inbox:
        await inbox.drain(timeout_s=30)
    assert done == ["EV_1"]
