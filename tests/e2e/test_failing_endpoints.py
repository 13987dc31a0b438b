"""What LiveKit's own notifier does wrong when an endpoint fails, done right, by the service as it is run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from email.utils import formatdate
from pathlib import Path

import aiohttp
import pytest

from roombell.testing.behaviours import (
    Behaviour,
    dripping_body,
    dripping_header,
    endless_body,
    hold,
    redirect,
    reply,
    reset,
    silence,
)
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.wire import RecordedRequest
from support.metrics import metrics_when
from support.service import ServiceProcess, endpoint
from support.webhooks import Ledger, event_body, is_authentic, post

PATIENT = {"timeout": "10m"}
IN_TIME_S = 60.0
"""A generous deadline for what takes a fraction of a second."""
HEALTHY_ROOMS = 20
EVENTS_PER_ROOM = 10
DISTANT_FUTURE = formatdate(4_102_444_800, usegmt=True)


async def send(client: aiohttp.ClientSession, service: ServiceProcess, room: str, *numbers: int) -> None:
    """Events of one room, one after another, all of which have to be taken."""
    for number in numbers:
        status, _ = await post(client, service.url, event_body(room, number))
        assert status == 200


async def test_only_2xx_is_success_and_all_else_is_tried_again(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        elsewhere = await stack.enter_async_context(ScriptedEndpoint())
        refusals = {str(status): reply(status) for status in (300, 304, 400, 401, 403, 404, 413, 501)}
        refusals |= {str(status): redirect(elsewhere.url, status) for status in (301, 302, 307, 308)}
        ends = {name: ScriptedEndpoint([refusal, refusal, reply()]) for name, refusal in refusals.items()}
        for end in ends.values():
            await stack.enter_async_context(end)
        endpoints = [endpoint(f"e{name}", end) for name, end in ends.items()]
        service = await stack.enter_async_context(ServiceProcess(tmp_path, endpoints))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        await send(client, service, "room", 1, 2)
        for name, end in ends.items():
            requests = await end.wait_for(4, deadline_s=IN_TIME_S)
            tried = [(request.event_id, request.attempt, request.sequence) for request in requests]
            first, second = "EV_room_1", "EV_room_2"
            assert tried == [(first, 1, 1), (first, 2, 1), (first, 3, 1), (second, 1, 2)], name
            assert all(map(is_authentic, requests)), name
        assert await service.stop() == 0
        assert elsewhere.requests == []


async def test_410_disables_the_endpoint_and_keeps_what_it_is_owed(tmp_path: Path) -> None:
    async with (
        ScriptedEndpoint([reply(), reply(410)]) as end,
        ServiceProcess(tmp_path, [endpoint("app", end)]) as service,
        aiohttp.ClientSession() as client,
    ):
        await send(client, service, "room", 1, 2)
        await end.wait_for(2)
        await metrics_when(client, service, lambda now: not now.is_active("app"))
        await send(client, service, "room", 3)
        await send(client, service, "other", 1)
        await metrics_when(client, service, lambda now: now.pending("app") == 3)
        assert len(end.requests) == 2
        end.play(reply())
        assert await service.stop() == 0
        await service.start()  # started anew, it is configured anew
        requests = await end.wait_for(5)
        assert await service.stop() == 0
    again = [request.event_id for request in requests[2:]]
    assert [event_id for event_id in again if "other" not in event_id] == ["EV_room_2", "EV_room_3"]
    assert len(end.requests) == 5


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("retry_after", ["86400", "999999999999", DISTANT_FUTURE])
async def test_a_retry_after_of_a_day_stalls_a_lane_for_the_largest_delay_at_most(
    status: int, retry_after: str, tmp_path: Path
) -> None:
    later = reply(status, headers=[("Retry-After", retry_after)])
    async with (
        ScriptedEndpoint([later, later, reply()]) as end,
        ServiceProcess(tmp_path, [endpoint("app", end)]) as service,
        aiohttp.ClientSession() as client,
    ):
        await send(client, service, "room", 1, 2)
        requests = await end.wait_for(4, deadline_s=IN_TIME_S)
        assert [request.sequence for request in requests] == [1, 1, 1, 2]
        assert await service.stop() == 0


@pytest.mark.parametrize("silent", [silence(), dripping_header(), dripping_body(500)], ids=lambda one: one.name)
async def test_an_endpoint_that_does_not_answer_is_given_up_on_in_time_and_tried_again(
    silent: Behaviour, tmp_path: Path
) -> None:
    async with (
        ScriptedEndpoint([silent, silent, reply()]) as end,
        ServiceProcess(tmp_path, [endpoint("app", end, timeout="200ms")]) as service,
        aiohttp.ClientSession() as client,
    ):
        await send(client, service, "room", 1, 2)
        await end.wait_for(4, deadline_s=IN_TIME_S)
        await metrics_when(client, service, lambda now: now.pending("app") == 0)
        tried = [(request.sequence, request.attempt) for request in end.requests]
        assert tried[:3] == [(1, 1), (1, 2), (1, 3)]
        assert tried == sorted(set(tried)), "a good answer, too, may come too late on a slow machine"
        assert tried[-1][0] == 2
        assert await service.stop() == 0


async def test_the_trouble_of_some_endpoints_never_touches_another(tmp_path: Path) -> None:
    never = asyncio.Event()
    troubles: Mapping[str, Behaviour] = {
        "silent": silence(),
        "slow": hold(never),
        "dripping": dripping_header(),
        "endless": endless_body(500),
        "resetting": reset(),
        "failing": reply(500),
    }
    ledger = Ledger()

    def healthy(request: RecordedRequest) -> Behaviour:
        ledger.take(request)
        return reply()

    async with AsyncExitStack() as stack:
        ends = {name: await stack.enter_async_context(ScriptedEndpoint(what)) for name, what in troubles.items()}
        for name, turn in (("refusing", ScriptedEndpoint.refuse), ("unanswering", black_hole)):
            ends[name] = await stack.enter_async_context(ScriptedEndpoint())
            await turn(ends[name])
        good = await stack.enter_async_context(ScriptedEndpoint(healthy))
        endpoints = [endpoint(name, end, **PATIENT) for name, end in ends.items()] + [endpoint("good", good)]
        service = ServiceProcess(tmp_path, endpoints, stop_timeout="100ms")
        await stack.enter_async_context(service)
        client = await stack.enter_async_context(aiohttp.ClientSession())
        rooms = [
            send(client, service, f"room-{number}", *range(1, EVENTS_PER_ROOM + 1)) for number in range(HEALTHY_ROOMS)
        ]
        await asyncio.gather(*rooms)
        await good.wait_for(HEALTHY_ROOMS * EVENTS_PER_ROOM, deadline_s=IN_TIME_S)
        for name in troubles:  # not one of which has let a single event through
            requests = await ends[name].wait_for(1, deadline_s=IN_TIME_S)
            assert {request.sequence for request in requests} == {1}
        assert await service.stop() == 0
    assert ledger.faults == []
    assert ledger.taken == len(good.requests) == HEALTHY_ROOMS * EVENTS_PER_ROOM


black_hole: Callable[[ScriptedEndpoint], Awaitable[None]] = lambda end: end.black_hole(backlog=0)  # noqa: E731


async def test_a_stuck_room_does_not_delay_another_room(tmp_path: Path) -> None:
    never = asyncio.Event()

    def script(request: RecordedRequest) -> Behaviour:
        return hold(never) if request.event.room_name == "stuck" else reply()

    async with (
        ScriptedEndpoint(script) as end,
        ServiceProcess(tmp_path, [endpoint("app", end, concurrency=2, **PATIENT)], stop_timeout="100ms") as service,
        aiohttp.ClientSession() as client,
    ):
        await send(client, service, "stuck", *range(1, 6))
        await end.wait_for(1)
        for number in range(HEALTHY_ROOMS):
            await send(client, service, f"room-{number}", 1, 2)
        requests = await end.wait_for(1 + 2 * HEALTHY_ROOMS, deadline_s=IN_TIME_S)
        assert [request.event_id for request in requests if "stuck" in request.event_id] == ["EV_stuck_1"]
        assert await service.stop() == 0
