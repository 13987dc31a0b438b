"""SIGTERM with hundreds of attempts under way."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp

from roombell.testing.behaviours import hold, reply, silence
from roombell.testing.endpoint import ScriptedEndpoint
from support.service import ServiceProcess, endpoint
from support.webhooks import event_body, post

ROOMS = 16
"""As many attempts as an endpoint gets at once that has shown nothing yet."""
ENDPOINTS = 40
IN_FLIGHT = ROOMS * ENDPOINTS
STOP_TIMEOUT_S = 2
EXIT_SLACK_S = 50
LEASE_S = 60
"""How long a lane would wait if its lease were not given back."""


def endpoints(far_end: ScriptedEndpoint) -> list[dict[str, object]]:
    """Forty names for one far end: each has limits of its own."""
    return [endpoint(f"app-{number}", far_end, timeout="5m") for number in range(ENDPOINTS)]


async def in_flight(service: ServiceProcess, far_end: ScriptedEndpoint) -> None:
    """Returns when the far end holds all requests unanswered."""
    async with aiohttp.ClientSession() as client:
        sent = (post(client, service.url, event_body(f"room-{number}", 1)) for number in range(ROOMS))
        assert {status for status, _ in await asyncio.gather(*sent)} == {200}
    await far_end.wait_for(IN_FLIGHT, deadline_s=60)


async def test_attempts_under_way_end_before_the_process_does_and_are_not_repeated(tmp_path: Path) -> None:
    answer = asyncio.Event()
    async with (
        ScriptedEndpoint(hold(answer)) as far_end,
        ServiceProcess(tmp_path, endpoints(far_end), stop_timeout="60s") as service,
    ):
        await in_flight(service, far_end)
        stopping = asyncio.create_task(service.stop())
        await service.wait_for_line("Stopping on SIGTERM")
        answer.set()
        assert await stopping == 0
        await service.start()
        async with aiohttp.ClientSession() as client:
            assert (await post(client, service.url, event_body("the last", 1)))[0] == 200
        requests = await far_end.wait_for(IN_FLIGHT + ENDPOINTS)
        assert await service.stop() == 0
    assert len(requests) == len(far_end.requests) == IN_FLIGHT + ENDPOINTS
    assert len({(request.event_id, request.lane) for request in requests}) == IN_FLIGHT + ENDPOINTS


async def test_a_silent_endpoint_does_not_hold_up_the_exit_and_a_restart_continues_at_once(tmp_path: Path) -> None:
    async with (
        ScriptedEndpoint(silence()) as far_end,
        ServiceProcess(tmp_path, endpoints(far_end), stop_timeout=f"{STOP_TIMEOUT_S}s") as service,
    ):
        await in_flight(service, far_end)
        asked_at = time.monotonic()
        assert await service.stop() == 0
        assert time.monotonic() - asked_at < STOP_TIMEOUT_S + EXIT_SLACK_S
        far_end.play(reply())
        await service.start()
        requests = await far_end.wait_for(2 * IN_FLIGHT, deadline_s=LEASE_S / 2)
        assert await service.stop() == 0
    again = requests[IN_FLIGHT:]
    assert {(request.event_id, request.lane) for request in again} == {
        (request.event_id, request.lane) for request in requests[:IN_FLIGHT]
    }
    assert len({request.lane for request in again}) == IN_FLIGHT
