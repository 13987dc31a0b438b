"""Redriving, replaying and pausing by command, at the running service and on the store of one that does not run; and
what an operator's own URL is told.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import aiohttp

from roombell.testing.behaviours import reply
from roombell.testing.endpoint import ScriptedEndpoint
from support.metrics import metrics_when
from support.service import API_KEY, ServiceProcess, endpoint
from support.webhooks import event_body, is_authentic, post

ONCE = {"attempts": 1}
COMMAND_S_MAX = 60.0


async def command(service: ServiceProcess, *arguments: str, running: bool = True) -> list[dict]:
    """A command's records; it has to end well."""
    where = ["--service", service.url] if running else []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "roombell.cli", *arguments, "--json", "--config", str(service.config_path), *where,
        cwd=service.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(COMMAND_S_MAX):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.splitlines()]


async def done(service: ServiceProcess, *arguments: str, running: bool = True) -> int:
    records = await command(service, *arguments, running=running)
    return records[-1]["done"]


async def test_what_is_dead_is_redriven_by_event_by_lane_and_by_endpoint_and_twice_is_safe(tmp_path: Path) -> None:
    async with (
        ScriptedEndpoint(reply(400)) as end,
        ServiceProcess(tmp_path, [endpoint("app", end, retry=ONCE)]) as service,
        aiohttp.ClientSession() as client,
    ):
        for room in ("a", "b", "c"):
            for number in (1, 2):
                assert (await post(client, service.url, event_body(room, number)))[0] == 200
        await end.wait_for(6)
        await metrics_when(client, service, lambda now: now.pending("app") == 0)
        end.play(reply())
        assert await done(service, "redrive", "--endpoint", "app", "--since", "1h", "--dry-run") == 6
        assert await done(service, "redrive", "--event", "EV_a_1") == 1
        assert await done(service, "redrive", "--lane", "b") == 2
        await end.wait_for(6 + 3)
        assert await service.stop() == 0
        assert await done(service, "redrive", "--endpoint", "app", "--since", "1h", running=False) == 3
        assert await done(service, "redrive", "--endpoint", "app", running=False) == 0, "twice is safe"
        await service.start()
        requests = (await end.wait_for(12))[6:]
        await metrics_when(client, service, lambda now: now.pending("app") == 0)
        assert await done(service, "replay", "--lane", "c") == 2
        replayed = (await end.wait_for(14))[12:]
        assert await service.stop() == 0
    assert sorted(request.event_id for request in requests) == [f"EV_{room}_{n}" for room in "abc" for n in (1, 2)]
    assert {request.attempt for request in requests} == {2}
    told = [(request.event_id, request.sequence, request.attempt) for request in replayed]
    assert told == [("EV_c_1", 1, 3), ("EV_c_2", 2, 3)]


async def test_a_paused_endpoint_is_sent_nothing_over_a_restart_until_it_is_resumed(tmp_path: Path) -> None:
    async with (
        ScriptedEndpoint() as end,
        ScriptedEndpoint() as other,
        ServiceProcess(tmp_path, [endpoint("app", end), endpoint("other", other)]) as service,
        aiohttp.ClientSession() as client,
    ):
        await command(service, "pause", "app")
        for number in (1, 2):
            assert (await post(client, service.url, event_body("room", number)))[0] == 200
        await other.wait_for(2)
        assert await service.stop() == 0
        await service.start()
        await metrics_when(client, service, lambda now: now.pending("app") == 2 and not now.is_active("app"))
        assert end.requests == []
        await command(service, "resume", "app")
        requests = await end.wait_for(2)
        assert await service.stop() == 0
    assert [request.sequence for request in requests] == [1, 2]


async def test_an_operators_url_that_fails_is_told_of_others_and_never_of_itself(tmp_path: Path) -> None:
    async with (
        ScriptedEndpoint(reply(400)) as end,
        ScriptedEndpoint([reply(500), reply(500), reply()]) as operator,
        ServiceProcess(
            tmp_path, [endpoint("app", end, retry=ONCE)], operations={"url": operator.url, "api_key": API_KEY}
        ) as service,
        aiohttp.ClientSession() as client,
    ):
        assert (await post(client, service.url, event_body("room", 1)))[0] == 200
        requests = await operator.wait_for(3, deadline_s=60)
        await metrics_when(client, service, lambda now: now.value("livekit_webhook_queue_length") == 0)
        assert await service.stop() == 0
    assert all(map(is_authentic, requests))
    told = [json.loads(request.body) for request in operator.requests]
    assert {(one["event"], one["data"]["endpoint"]) for one in told} == {("delivery.dead", "app")}
    assert len({request.event_id for request in operator.requests}) == 1, "its own failures make no events"
