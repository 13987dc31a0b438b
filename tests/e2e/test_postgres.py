"""Several ``roombell serve`` on one PostgreSQL: real processes, a real server."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from roombell.testing.endpoint import ScriptedEndpoint
from support.postgres import PASSWORD, PostgresServer
from support.service import NotStarted, ServiceProcess, endpoint
from support.webhooks import event_body, post

IN_TIME_S = 60.0


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


async def test_one_worker_takes_another_one_delivers_and_a_third_does_both(tmp_path: Path, database_url: str) -> None:
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(ScriptedEndpoint())
        ends = [endpoint("app", there)]
        ingest, deliver, both = [
            await stack.enter_async_context(
                ServiceProcess(folder(tmp_path, name), ends, store=database_url, flags=flags)
            )
            for name, flags in (("ingest", ["--ingest-only"]), ("deliver", ["--deliver-only"]), ("both", []))
        ]
        client = await stack.enter_async_context(aiohttp.ClientSession())
        assert (await post(client, deliver.url, event_body("room", 1)))[0] == 503
        for path in ("healthz", "readyz", "metrics"):
            async with client.get(f"{deliver.url}/{path}") as answer:
                assert answer.status == 200
        draws = random.Random(1)
        for number in range(1, 41):
            to = draws.choice([ingest, both])
            assert (await post(client, to.url, event_body(f"room-{number % 4}", number)))[0] == 200
        requests = await there.wait_for(40, deadline_s=IN_TIME_S)
        for room in range(4):
            numbers = [int(r.event_id.rpartition("_")[2]) for r in requests if f"_room-{room}_" in r.event_id]
            assert numbers == sorted(numbers)
            assert len(numbers) == 10
        assert not any(PASSWORD.split()[1] in line for service in (ingest, deliver, both) for line in service.lines)


async def test_the_lanes_of_a_killed_worker_are_taken_over(tmp_path: Path, database_url: str) -> None:
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(ScriptedEndpoint())
        services = [
            ServiceProcess(folder(tmp_path, name), [endpoint("app", there)], store=database_url, lease="5s")
            for name in "ab"
        ]
        client = await stack.enter_async_context(aiohttp.ClientSession())
        await there.refuse()
        async with services[0] as first:
            for number in range(1, 11):
                assert (await post(client, first.url, event_body("room", number)))[0] == 200
            await first.kill()
        await there.listen()
        await stack.enter_async_context(services[1])
        requests = await there.wait_for(10, deadline_s=IN_TIME_S)
        assert [int(r.event_id.rpartition("_")[2]) for r in requests] == list(range(1, 11))


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("postgresql://nobody:hush@127.0.0.1:1/x", "cannot be reached"),
        ("{wrong}", "refuses the password"),
        ("{missing}", "does not exist"),
    ],
)
async def test_a_database_that_cannot_be_used_is_named_with_the_mend_and_without_the_password(
    tmp_path: Path, postgres: PostgresServer, store: str, expected: str
) -> None:
    wrong = f"postgresql://roombell:hush@127.0.0.1:{postgres.port}/postgres"
    missing = postgres.url("missing")
    url = store.format(wrong=wrong, missing=missing)
    with pytest.raises(NotStarted) as caught:
        await ServiceProcess(tmp_path, [], store=url).start()
    assert expected in caught.value.output
    assert "hush" not in caught.value.output
    assert "password%20of" not in caught.value.output
    assert "Traceback" not in caught.value.output


async def test_a_worker_that_does_one_half_needs_a_store_that_others_share(tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match="needs others on the same store"):
        await ServiceProcess(tmp_path, [], flags=["--ingest-only"]).start()
