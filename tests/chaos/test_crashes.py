"""SIGKILL at any moment: what was answered 200 arrives, in order, and only what was in flight comes twice."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from roombell.testing.endpoint import ScriptedEndpoint
from support.service import ServiceProcess, endpoint
from support.traffic import Producers, Receiver, assert_all_arrived

SEED = 20_26
KILLS = 24
EVENTS_BETWEEN_KILLS_MAX = 150
REFUSED_SHARE = 0.05
"""So that kills meet lanes in back-off, too."""
KILLED_WHILE_STARTING_SHARE = 0.2


async def test_what_was_answered_200_survives_sigkill_at_any_moment(tmp_path: Path) -> None:
    draws = random.Random(SEED)
    receiver = Receiver(draws, refused_share=REFUSED_SHARE)
    async with (
        ScriptedEndpoint(receiver) as far_end,
        ServiceProcess(tmp_path, [endpoint("app", far_end)]) as service,
        asyncio.TaskGroup() as group,
    ):
        producers = Producers(service)
        sending = group.create_task(producers.run())
        while service.kills < KILLS:
            await random_moment(draws, producers, receiver)
            await service.kill()
            await service.spawn()
            if draws.random() < KILLED_WHILE_STARTING_SHARE:
                await service.kill()
                await service.spawn()
            await service.ready()
        producers.stop()
        await sending
        await receiver.has_taken(producers.accepted.total())
        assert await service.stop() == 0
    assert producers.statuses[0] > 0, "no kill met a request"
    assert receiver.ledger.repeats, "no kill met a delivery"
    assert_all_arrived(producers, receiver, repeats_per_lane_max=service.kills)


async def random_moment(draws: random.Random, producers: Producers, receiver: Receiver) -> None:
    """A moment told by what was accepted or by what was delivered, not by the clock."""
    count = draws.randint(0, EVENTS_BETWEEN_KILLS_MAX)
    await (producers.get_in(count) if draws.random() < 0.5 else receiver.sees(count))
