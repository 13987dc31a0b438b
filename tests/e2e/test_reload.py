"""SIGHUP: endpoints come and go while the service runs, and nothing that is owed is lost."""

from __future__ import annotations

import signal
from pathlib import Path

import aiohttp

from roombell.testing.behaviours import reply
from roombell.testing.endpoint import ScriptedEndpoint
from support.metrics import metrics_when
from support.service import ServiceProcess, endpoint
from support.webhooks import event_body, post

EVENTS = 5


async def reload(service: ServiceProcess, *words: str) -> None:
    """SIGHUP; returns when the service has said what came of it."""
    said = len(service.lines)
    service.signal(signal.SIGHUP)
    await service.wait_for_line(*words, after=said)


async def send(client: aiohttp.ClientSession, service: ServiceProcess, *numbers: int) -> None:
    for number in numbers:
        assert (await post(client, service.url, event_body("room", number)))[0] == 200


async def test_a_removed_endpoint_keeps_what_it_is_owed_and_gets_it_when_it_returns(tmp_path: Path) -> None:
    async with (
        ScriptedEndpoint(reply(500)) as gone,
        ScriptedEndpoint() as stays,
        ServiceProcess(tmp_path, [endpoint("gone", gone), endpoint("stays", stays)]) as service,
        aiohttp.ClientSession() as client,
    ):
        await send(client, service, *range(1, EVENTS + 1))
        await gone.wait_for(2)
        service.configure([endpoint("stays", stays)])
        await reload(service, "was reloaded")
        await send(client, service, EVENTS + 1)  # not the removed endpoint's: it is not listed
        await stays.wait_for(EVENTS + 1)
        await metrics_when(client, service, lambda now: now.pending("gone") == EVENTS and not now.is_active("gone"))
        tried = len(gone.requests)
        gone.play(reply())
        assert await service.stop() == 0
        await service.start()  # it is kept over a restart, too
        await metrics_when(client, service, lambda now: now.pending("gone") == EVENTS)
        assert len(gone.requests) == tried
        service.configure([endpoint("stays", stays), endpoint("gone", gone)])
        await reload(service, "was reloaded")
        await send(client, service, EVENTS + 2)
        requests = (await gone.wait_for(tried + EVENTS + 1))[tried:]
        assert await service.stop() == 0
    numbers = [*range(1, EVENTS + 1), EVENTS + 2]
    assert [request.event_id for request in requests] == [f"EV_room_{number}" for number in numbers]
    assert [request.sequence for request in requests] == list(range(1, EVENTS + 2))


async def test_an_endpoint_that_moves_is_sent_to_at_its_new_address(tmp_path: Path) -> None:
    async with (
        ScriptedEndpoint(reply(500)) as old,
        ScriptedEndpoint() as new,
        ServiceProcess(tmp_path, [endpoint("app", old)]) as service,
        aiohttp.ClientSession() as client,
    ):
        await send(client, service, 1, 2)
        await old.wait_for(1)
        service.configure([endpoint("app", new)])
        await reload(service, "was reloaded")
        requests = await new.wait_for(2)
        assert [(request.event_id, request.sequence) for request in requests] == [("EV_room_1", 1), ("EV_room_2", 2)]
        assert await service.stop() == 0


async def test_a_file_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    async with (
        ScriptedEndpoint() as end,
        ServiceProcess(tmp_path, [endpoint("app", end)]) as service,
        aiohttp.ClientSession() as client,
    ):
        service.configure([endpoint("app", end) | {"api_key": "APIunknown"}])
        await reload(service, "not reloaded", "endpoints[0].api_key")
        await send(client, service, 1)
        await end.wait_for(1)
        assert await service.stop() == 0
