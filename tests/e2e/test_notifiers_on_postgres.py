"""Two notifiers on one database see what the other one does."""

from __future__ import annotations

import asyncio

from roombell import Notifier
from roombell.engine.model import EndpointState
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.payloads import sample

KEYS = {"APIabc": "a secret of at least thirty-two characters"}
IN_TIME_S = 60.0
"""A safety net; the bounds themselves are held in virtual time by the simulation."""


def notifier(store: str, there: ScriptedEndpoint) -> Notifier:
    return Notifier(keys=KEYS, urls=[there.url], store=store)


async def test_a_pause_by_one_is_kept_by_the_other(database_url: str) -> None:
    async with (
        ScriptedEndpoint() as there,
        notifier(database_url, there) as here,
        notifier(database_url, there) as other,
    ):
        (status,) = await here.endpoints()
        await here.pause(status.name)
        async with asyncio.timeout(IN_TIME_S):
            while (await other.endpoints())[0].state is not EndpointState.PAUSED:
                await asyncio.sleep(0)
        await other.notify(sample("room_started"))
        await here.resume(status.name)
        await there.wait_for(1, deadline_s=IN_TIME_S)


async def test_what_one_takes_the_other_one_delivers_when_the_first_is_gone(database_url: str) -> None:
    async with ScriptedEndpoint() as there:
        await there.refuse()
        async with notifier(database_url, there) as first:
            for name in ("room_started", "participant_joined", "room_finished"):
                assert not (await first.notify(sample(name))).duplicate
        await there.listen()
        async with notifier(database_url, there):
            await there.wait_for(3, deadline_s=IN_TIME_S)
