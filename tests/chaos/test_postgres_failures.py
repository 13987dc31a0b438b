"""One thing at a time that goes wrong between workers and their database, and what each of them does about it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import psycopg
import pytest

from roombell.testing.behaviours import Behaviour, hold, reply
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.wire import RecordedRequest
from support import skewed_serve
from support.cluster import CutProxy, small_disk
from support.fleet import SETTINGS, fleet, run_and_check
from support.postgres import PASSWORD, USER, PostgresServer
from support.service import COMMAND, ServiceProcess, endpoint
from support.webhooks import event_body, post

ANSWER_S_MAX = 18.0
"""LiveKit waits for 15 s; the rest is for a slow machine. Two transactions that wait for nothing take 12 s."""
DEADLINE_S = 60.0
SMALL_BYTES = 32 * 1024 * 1024


@pytest.fixture
async def proxy(postgres: PostgresServer) -> AsyncIterator[CutProxy]:
    async with CutProxy(postgres.port) as made:
        yield made


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S_MAX)) as made:
        yield made


def worker(folder: Path, store: str, far_end: ScriptedEndpoint) -> ServiceProcess:
    folder.mkdir(exist_ok=True)
    return ServiceProcess(folder, [endpoint("app", far_end)], store=store, **SETTINGS)


async def accepted_again(client: aiohttp.ClientSession, service: ServiceProcess, body: bytes) -> None:
    """Returns when the service takes the event, which it may refuse for a while."""
    async with asyncio.timeout(DEADLINE_S):
        while (await post(client, service.url, body))[0] != 200:
            pass


async def in_order_until(far_end: ScriptedEndpoint, sequence: int) -> list[int]:
    """The numbers that have come when ``sequence`` has, each where it came first."""
    while True:
        numbers = list(dict.fromkeys(request.sequence for request in far_end.requests))
        if sequence in numbers:
            return numbers
        await far_end.wait_for(len(far_end.requests) + 1, deadline_s=DEADLINE_S)


def rows(url: str) -> list[list[tuple[object, ...]]]:
    """All that the database holds of deliveries."""
    with psycopg.connect(url) as connection:
        statements = (
            "SELECT * FROM roombell.delivery",
            "SELECT * FROM roombell.attempt",
            "SELECT * FROM roombell.lane",
        )
        return [sorted(connection.execute(statement).fetchall(), key=repr) for statement in statements]


async def test_a_worker_that_was_stopped_for_longer_than_its_lease_wakes_up_and_changes_nothing(
    tmp_path: Path, database_url: str, client: aiohttp.ClientSession
) -> None:
    answer = asyncio.Event()
    requests: list[RecordedRequest] = []

    def script(request: RecordedRequest) -> Behaviour:
        requests.append(request)
        return hold(answer, then=reply(503)) if len(requests) == 1 else reply()

    async with (
        ScriptedEndpoint(script) as far_end,
        worker(tmp_path / "zombie", database_url, far_end) as zombie,
    ):
        assert (await post(client, zombie.url, event_body("room", 1)))[0] == 200
        await far_end.wait_for(1, deadline_s=DEADLINE_S)
        zombie.signal(signal.SIGSTOP)
        async with worker(tmp_path / "successor", database_url, far_end) as successor:
            assert (await post(client, successor.url, event_body("room", 2)))[0] == 200
            await far_end.wait_for(3, deadline_s=DEADLINE_S)
            assert await successor.stop() == 0
        before = rows(database_url)
        answer.set()
        zombie.signal(signal.SIGCONT)
        await zombie.wait_for_line("lease lost")
        assert await zombie.stop() == 0
    assert rows(database_url) == before
    assert [(request.sequence, request.attempt) for request in requests] == [(1, 1), (1, 1), (2, 1)]
    states = [row[4] for row in before[0]]
    assert states == ["delivered", "delivered"]


@pytest.mark.parametrize("how", ["swallow", "break_off"])
async def test_a_worker_that_is_cut_off_answers_503_in_time_and_takes_events_again_by_itself(
    tmp_path: Path, database_url: str, proxy: CutProxy, client: aiohttp.ClientSession, how: str
) -> None:
    """In time also for an event that comes while the commit before it waits for a network that is gone."""
    answer = asyncio.Event()
    async with (
        ScriptedEndpoint(hold(answer)) as far_end,
        worker(tmp_path, proxy.url(database_url), far_end) as service,
    ):
        await accepted_again(client, service, event_body("room", 1))
        await far_end.wait_for(1, deadline_s=DEADLINE_S)
        getattr(proxy, how)()
        answer.set()
        await proxy.tried()  # to write down that it was delivered
        status, headers = await post(client, service.url, event_body("room", 2))
        assert (status, "Retry-After" in headers) == (503, True)
        proxy.pass_on()
        await accepted_again(client, service, event_body("room", 2))
        assert await in_order_until(far_end, 2) == [1, 2]
        assert await service.stop() == 0


async def test_a_storm_of_other_clients_is_survived(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    """Others take every connection there is."""
    with PostgresServer({"max_connections": "16", "max_wal_senders": "0"}) as server:
        url = server.new_database()
        async with (
            CutProxy(server.port) as proxy,
            ScriptedEndpoint() as far_end,
            worker(tmp_path, proxy.url(url), far_end) as service,
        ):
            await accepted_again(client, service, event_body("room", 1))
            with contextlib.ExitStack() as storm:
                proxy.break_off()
                await asyncio.to_thread(take_all, server, storm)
                proxy.pass_on()
                status, headers = await post(client, service.url, event_body("room", 2))
                assert (status, "Retry-After" in headers) == (503, True)
                await service.wait_for_line("takes no more connections", "Raise its max_connections")
            await accepted_again(client, service, event_body("room", 2))
            assert await in_order_until(far_end, 2) == [1, 2]
            assert await service.stop() == 0


def take_all(server: PostgresServer, storm: contextlib.ExitStack) -> None:
    """Connects until the server takes no more, and none of its connections is a worker's."""
    first = storm.enter_context(psycopg.connect(server.url(), autocommit=True))
    workers = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'roombell'"
    while first.execute(workers).fetchone() != (0,):
        pass
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            storm.enter_context(psycopg.connect(server.url(), autocommit=True))


@pytest.fixture
def small(postgres_of_its_own: PostgresServer) -> Iterator[tuple[str, Path]]:
    """An empty database on a small disk, and that disk's folder."""
    server = postgres_of_its_own
    try:
        mounted = small_disk(SMALL_BYTES)
        folder = mounted.__enter__()
    except PermissionError as error:
        pytest.skip(str(error))
    try:
        tables = folder / "tables"
        tables.mkdir()
        server.give(tables)
        server.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
        server.execute("CREATE DATABASE small TABLESPACE small")
        yield server.url("small"), folder
    finally:
        server.remove()
        mounted.__exit__(None, None, None)


@pytest.fixture
def postgres_of_its_own() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


async def test_a_full_disk_on_the_server_loses_nothing_and_work_goes_on_when_there_is_room(
    tmp_path: Path, small: tuple[str, Path], client: aiohttp.ClientSession
) -> None:
    url, disk = small
    accepted = 0
    async with ScriptedEndpoint() as far_end, worker(tmp_path, url, far_end) as service:
        ballast = disk / "ballast"
        while accepted < 10:
            accepted += (await post(client, service.url, large(accepted + 1)))[0] == 200
        fill(ballast)
        async with asyncio.timeout(DEADLINE_S):
            while (answer := await post(client, service.url, large(accepted + 1)))[0] == 200:
                accepted += 1
        assert (answer[0], "Retry-After" in answer[1]) == (503, True)
        await service.wait_for_line("has no room left on its disk")
        ballast.unlink()
        await accepted_again(client, service, large(accepted + 1))
        assert await in_order_until(far_end, accepted + 1) == list(range(1, accepted + 2))
        assert await service.stop() == 0


def large(number: int) -> bytes:
    """An event that takes some room, however well it is compressed."""
    return event_body("room", number)[:-1] + b',"ballast":"' + os.urandom(8_000).hex().encode() + b'"}'


def fill(path: Path) -> None:
    """Writes until there is no room left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.timeout(300)
async def test_a_standby_that_is_promoted_goes_on_where_the_primary_was(tmp_path: Path) -> None:
    with PostgresServer() as primary, contextlib.ExitStack() as stack:
        standby = primary.standby({"synchronous_standby_names": ""})
        stack.callback(standby.remove)
        await asyncio.to_thread(standby.start)
        primary.configure({"synchronous_standby_names": "standby"})
        primary.reload()
        await is_synchronous(primary)
        database = primary.new_database().rpartition("/")[2]
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = f"postgresql://{USER}:{quote(PASSWORD)}@{hosts}/{database}"

        async def fail_over() -> None:
            await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(standby.promote)

        async with fleet(tmp_path, None, url) as all_:
            await run_and_check(all_, [fail_over])
    assert all_.producers.statuses[503] > 0, "no request met a primary that was dead"


async def is_synchronous(primary: PostgresServer) -> None:
    """Returns when commits wait for the standby."""
    async with asyncio.timeout(DEADLINE_S):
        while primary.execute("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
            pass


async def test_workers_whose_clocks_are_hours_off_share_the_work_as_if_they_were_right(
    tmp_path: Path, postgres: PostgresServer, database_url: str
) -> None:
    """Signatures that receivers hold for valid, too: the database's clock rules."""
    commands = [COMMAND, *((sys.executable, skewed_serve.__file__, hours, "serve") for hours in ("5", "-5"))]
    async with fleet(tmp_path, postgres.port, database_url, commands=commands) as all_:
        right, *_wrong = all_.workers.all

        async def all_take_part() -> None:
            for one in all_.workers.all:
                await one.wait_for_line("webhook delivered", deadline_s=DEADLINE_S)

        async def wrong_ones_alone() -> None:
            await all_.without(right, "stop")

        await run_and_check(all_, [all_take_part, wrong_ones_alone], cut_offs=1)
