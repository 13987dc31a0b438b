"""``roombell migrate``: a store on a file becomes one in PostgreSQL, and nobody who receives from it notices."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psycopg
import pytest

from roombell.cli.app import run
from roombell.engine.model import DeliveryState, EndpointId, EndpointState, LaneId, Put
from roombell.engine.ports import Store
from roombell.engine.selection import DeliveryHistory, DeliveryStatus, Selector
from roombell.engine.transitions import Verb
from roombell.errors import StoreError
from roombell.stores.moving import TABLES
from roombell.stores.postgres.store import PostgresStore
from roombell.stores.postgres.url import parse_url
from roombell.stores.sqlite.inline import InlineSqliteStore
from roombell.stores.sqlite.moving import opened_source
from roombell.testing.behaviours import Behaviour, reply
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.store_driver import LEASE_MS, NOW_MS, StoreDriver, event, opened, settle
from roombell.testing.wire import RecordedRequest
from support.cluster import CutProxy
from support.commands import Ended
from support.postgres import PostgresServer
from support.service import ServiceProcess, endpoint
from support.webhooks import event_body, post

EVENTS = 1_800
"""More than a few transactions' worth of every kind of row."""
HALF_BYTES = 280_000
"""Somewhere in the middle of the deliveries."""
ROOMS = 40
DOCUMENTS = 1_200
ENDPOINTS = ("app", "stats", "gone")
LATER_MS = NOW_MS + 100_000
"""When everything is due."""
STRANGE = "room\\0 of \0 a \\ stranger"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "roombell.db"


class Migrating:
    """The command in a process of its own."""

    def __init__(self, path: Path, url: str, *options: str) -> None:
        self._arguments = ("migrate", "--from", f"sqlite:///{path}", "--to", url, *options)

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "roombell.cli", *self._arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    def kill(self) -> None:
        self._process.kill()

    async def ended(self) -> Ended:
        async with asyncio.timeout(60):
            out, err = await self._process.communicate()
        assert self._process.returncode is not None
        return Ended(self._process.returncode, out.decode(), err.decode())


async def migrate(path: Path, url: str, *options: str) -> Ended:
    migrating = Migrating(path, url, *options)
    await migrating.start()
    return await migrating.ended()


async def migrate_killed(path: Path, url: str, proxy: CutProxy, *, after_bytes: int) -> None:
    """SIGKILL when the database has been sent so much, to the byte, and not one more will come."""
    proxy.swallow_after(after_bytes)
    migrating = Migrating(path, proxy.url(url))
    await migrating.start()
    await proxy.swallowing()
    migrating.kill()
    assert (await migrating.ended()).code == -signal.SIGKILL
    proxy.pass_on()


@pytest.fixture
async def proxy(postgres: PostgresServer) -> AsyncIterator[CutProxy]:
    async with CutProxy(postgres.port) as made:
        yield made


def postgres_at(url: str) -> PostgresStore:
    return PostgresStore(parse_url(url))


def count_rows(url: str) -> int:
    """Of all kinds, whatever has been carried over so far."""
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('roombell.store')").fetchone() == (None,):
            return 0
        return sum(connection.execute(f"SELECT count(*) FROM roombell.{table.name}").fetchone()[0] for table in TABLES)


async def fill(path: Path, *, events: int = EVENTS) -> None:
    """A store as a service leaves it that was killed: everything there can be, in the middle of the work."""
    async with opened(lambda: InlineSqliteStore(path)) as driver:
        statuses = await driver.store.register(ENDPOINTS, now_ms=NOW_MS)
        app, stats, gone = (statuses[name].endpoint_id for name in ENDPOINTS)
        keys = [STRANGE, *(f"room-{number}" for number in range(ROOMS))]
        made = [
            event(f"EV_{n}", app, stats, *([gone] if n % 10 == 0 else []), key=keys[n % len(keys)], at_ms=NOW_MS + n,
                  body=b"\0\xff body %d" % n)
            for n in range(events)
        ]  # fmt: skip
        for start in range(0, events, 500):
            await driver.accept(*made[start : start + 500])
        await work(driver, app)
        await driver.change(Verb.CANCEL, Selector(endpoint_id=stats, ordering_key="room-7"), limit=events)
        await driver.store.register(ENDPOINTS[:2], now_ms=NOW_MS + 1)
        await driver.store.set_endpoint_state(stats, EndpointState.PAUSED, reason="by hand", now_ms=NOW_MS + 2)
        await driver.store.set_endpoint_health(app, b"\0health")
        await forget_first_lanes(driver, app)
        keys = [STRANGE, "room\\x", "\0", "é", *(f"room:{n}" for n in range(DOCUMENTS))]
        for start in range(0, len(keys), 500):
            names = keys[start : start + 500]
            await driver.store.put_documents([Put(name, 0, 7, name.encode() + b"\0\xff") for name in names])
        assert (await driver.acquire(app, lanes_max=5, now_ms=LATER_MS)).lanes, "leases are left"


async def work(driver: StoreDriver, app: EndpointId) -> None:
    """Half of the lanes get on: delivered, tried in vain, dead, or blocked."""
    for lane in (await driver.acquire(app, lanes_max=ROOMS // 2, heads_max=10, now_ms=LATER_MS)).lanes:
        for head in lane.heads[:-1]:
            await driver.settle(settle(lane, head.sequence))
        last = lane.heads[-1].sequence
        match lane.lane_id % 3:
            case 0:
                await driver.settle(settle(lane, last, DeliveryState.PENDING, due_at_ms=NOW_MS + 60_000))
            case 1:
                await driver.settle(settle(lane, last, DeliveryState.DEAD, reason="gone"))
                await driver.release(lane)
            case _:
                await driver.settle(settle(lane, last, DeliveryState.DEAD, reason="gone", block=True))


async def forget_first_lanes(driver: StoreDriver, app: EndpointId) -> None:
    """So that there are numbers which were given and may never be given again."""
    placed = await driver.lease_one(event("EV_forgotten", app, key="a room that ended", at_ms=1))
    await driver.settle(settle(placed, placed.sequence))
    assert (await driver.store.prune(before_ms=2, limit=10)).lanes == 1


async def everything(store: Store) -> tuple[list[DeliveryStatus], list[tuple[DeliveryHistory, ...]]]:
    """Every delivery, and every attempt of one event in twenty."""
    found = await store.find(Selector(), after=None, limit=1_000)
    deliveries = list(found.deliveries)
    while found.next is not None:
        found = await store.find(Selector(), after=found.next, limit=1_000)
        deliveries += found.deliveries
    events = list(dict.fromkeys(one.event_id for one in deliveries))
    return deliveries, [await store.history(event_id) for event_id in events[::20]]


async def pending_by_lane(store: Store, endpoint_id: EndpointId) -> dict[LaneId, tuple[object, ...]]:
    """What workers are given, lane by lane: all that is due, in order, with its bodies."""
    lanes: dict[LaneId, tuple[object, ...]] = {}
    acquired = await StoreDriver(store).acquire(endpoint_id, heads_max=EVENTS, now_ms=LATER_MS + LEASE_MS)
    for lane in acquired.lanes:
        lanes[lane.lane_id] = (lane.ordering_key, lane.generation, lane.pending, lane.heads)
    return lanes


@asynccontextmanager
async def both(path: Path, url: str) -> AsyncIterator[tuple[Store, Store]]:
    async with opened(lambda: InlineSqliteStore(path)) as old, opened(lambda: postgres_at(url)) as new:
        yield old.store, new.store


async def assert_same(path: Path, url: str) -> None:
    async with both(path, url) as (old, new):
        assert new.store_id == old.store_id
        assert await new.endpoints() == await old.endpoints()
        assert await everything(new) == await everything(old)
        documents = [
            sorted(await store.documents_after(None, limit=2 * DOCUMENTS), key=lambda one: one.key)
            for store in (new, old)
        ]
        assert documents[0] == documents[1] != []
        for endpoint in await old.endpoints():
            assert await pending_by_lane(new, endpoint.endpoint_id) == await pending_by_lane(old, endpoint.endpoint_id)


async def test_everything_is_carried_over_under_its_own_numbers(path: Path, database_url: str) -> None:
    await fill(path, events=700)
    before = path.read_bytes()
    ended = await migrate(path, database_url)
    assert (ended.code, ended.err) == (0, "")
    assert "Moved: every row is in the database as it was in the file." in ended.out
    assert path.read_bytes() == before, "the file is only read"
    await assert_same(path, database_url)


async def test_numbers_go_on_where_they_were(path: Path, database_url: str) -> None:
    await fill(path, events=100)
    await migrate(path, database_url)
    async with both(path, database_url) as (old, new):
        for key in ("room-1", STRANGE, "a room that ended", "a new room"):
            placed = []
            for store in (old, new):
                (accepted,) = await StoreDriver(store).accept(event(f"EV_later {key}", EndpointId(1), key=key))
                placed.append((accepted.placed[0].lane_id, accepted.placed[0].sequence))
            assert placed[0] == placed[1]
        (known,) = await StoreDriver(new).accept(event("EV_7", EndpointId(1), key="room-1"))
        assert known.duplicate
        assert (await new.register(["another"], now_ms=NOW_MS))["another"].endpoint_id == len(ENDPOINTS) + 1


async def test_killed_at_any_point_it_goes_on_where_it_was(
    path: Path, postgres: PostgresServer, database_url: str, proxy: CutProxy
) -> None:
    await fill(path)
    assert (await migrate(path, proxy.url(postgres.new_database()))).code == 0
    whole_bytes = proxy.bytes_from_clients
    carried = [0]
    for share in (0.01, 0.1, 0.25, 0.25, 0.5):
        await migrate_killed(path, database_url, proxy, after_bytes=round(share * whole_bytes))
        carried.append(count_rows(database_url))
        if carried[-1]:
            with pytest.raises(StoreError, match=r"holds a part of the store that roombell migrate moves there\. Run"):
                await postgres_at(database_url).open()
    assert carried == sorted(carried), "nothing is undone"
    assert 0 < carried[2] < carried[-1]
    ended = await migrate(path, database_url, "--json")
    assert ended.code == 0
    first, *_, last = ended.records
    assert first["record"] == "progress"
    assert first["rows"] > 0
    assert (last["record"], last["event"], last["already"]) == ("summary", EVENTS, False)
    await assert_same(path, database_url)


async def test_a_store_that_was_worked_on_between_two_runs_is_carried_over_anew(
    path: Path, database_url: str, proxy: CutProxy
) -> None:
    await fill(path)
    await migrate_killed(path, database_url, proxy, after_bytes=HALF_BYTES)
    async with opened(lambda: InlineSqliteStore(path)) as driver:
        lane = (await driver.acquire(EndpointId(1), now_ms=LATER_MS + LEASE_MS)).lanes[0]
        head = lane.heads[0]
        assert not (await driver.settle(settle(lane, head.sequence, number=head.attempts + 1)))[0].lost
        await driver.accept(event("EV_meanwhile", EndpointId(1)))
    assert (await migrate(path, database_url)).code == 0
    await assert_same(path, database_url)


async def test_a_receiver_notices_nothing(tmp_path: Path, path: Path, database_url: str) -> None:
    """A service that was killed with a backlog, and two that go on in the database."""

    def script(request: RecordedRequest) -> Behaviour:
        return reply() if taking.is_set() or request.sequence == 1 else reply(503)

    taking = asyncio.Event()
    async with ScriptedEndpoint(script) as far_end, aiohttp.ClientSession() as client:
        async with ServiceProcess(tmp_path, [endpoint("app", far_end)]) as service:
            for number in (1, 2, 3):
                assert (await post(client, service.url, event_body("room", number)))[0] == 200
            await far_end.wait_for(2, deadline_s=60)
            await service.kill()
        assert (await migrate(path, database_url)).code == 0
        taking.set()
        far_end.requests.clear()
        async with (
            ServiceProcess(tmp_path, [endpoint("app", far_end)], store=database_url) as service,
            ServiceProcess(tmp_path, [endpoint("app", far_end)], store=database_url) as another,
        ):
            assert (await post(client, another.url, event_body("room", 4)))[0] == 200
            requests = await far_end.wait_for(3, deadline_s=60)
            assert await service.stop() == await another.stop() == 0
    taken = {request.event_id: (request.lane, request.sequence) for request in requests}
    (lane,) = {request.lane for request in requests}
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as old:
        (store_id,) = old.execute("SELECT store_id FROM store").fetchone()
    old.close()
    assert lane.startswith(f"{store_id}-")
    assert taken == {f"EV_room_{number}": (lane, number) for number in (2, 3, 4)}


async def test_done_twice_it_does_nothing(path: Path, database_url: str) -> None:
    await fill(path, events=20)
    await migrate(path, database_url)
    async with opened(lambda: postgres_at(database_url)) as driver:
        await driver.accept(event("EV_later", EndpointId(1)))
    ended = await migrate(path, database_url)
    assert (ended.code, ended.out) == (0, "It was moved there before. Nothing was done.\n")
    async with opened(lambda: postgres_at(database_url)) as driver:
        assert await driver.store.history("EV_later")


async def test_what_a_service_accepts_on_the_file_after_the_move_is_not_passed_over(
    path: Path, database_url: str
) -> None:
    await fill(path, events=20)
    await migrate(path, database_url)
    async with opened(lambda: InlineSqliteStore(path)) as driver:
        await driver.accept(event("EV_too_late", EndpointId(1)))
    ended = await migrate(path, database_url)
    assert ended.code == 4
    assert "What it accepted since is in the file alone" in ended.err


async def test_a_row_that_is_not_as_it_was_is_found(path: Path, database_url: str, proxy: CutProxy) -> None:
    await fill(path)
    await migrate_killed(path, database_url, proxy, after_bytes=HALF_BYTES)
    with psycopg.connect(database_url) as connection:
        changed = connection.execute("UPDATE roombell.event SET body = 'x' WHERE id = 1234").rowcount
    assert changed == 1
    ended = await migrate(path, database_url)
    assert ended.code == 4
    assert "The event with id 1234 is not the same in both stores." in ended.err
    with pytest.raises(StoreError, match="holds a part of the store"):
        await postgres_at(database_url).open()


async def test_a_database_that_holds_a_store_is_left_alone(path: Path, database_url: str) -> None:
    await fill(path, events=20)
    async with opened(lambda: postgres_at(database_url)) as driver:
        endpoint = await driver.endpoint("its own")
        await driver.accept(event("EV_its_own", endpoint))
    ended = await migrate(path, database_url)
    assert ended.code == 4
    assert "holds a store already. Name an empty database" in ended.err
    async with opened(lambda: postgres_at(database_url)) as driver:
        assert [one.event_id for one in await driver.find()] == ["EV_its_own"]


async def test_what_another_store_left_half_done_is_left_alone(
    path: Path, tmp_path: Path, database_url: str, proxy: CutProxy
) -> None:
    await fill(path)
    await fill(tmp_path / "another.db", events=20)
    await migrate_killed(path, database_url, proxy, after_bytes=HALF_BYTES)
    carried = count_rows(database_url)
    ended = await migrate(tmp_path / "another.db", database_url)
    assert ended.code == 4
    assert "holds a part of another store" in ended.err
    assert count_rows(database_url) == carried


async def test_a_store_that_a_service_has_open_is_not_moved(path: Path, database_url: str) -> None:
    async with opened(lambda: InlineSqliteStore(path)) as driver:
        await driver.accept(event("EV_1", await driver.endpoint()))
        ended = await migrate(path, database_url)
    assert ended.code == 4
    assert "is open in another process" in ended.err
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('roombell.store')").fetchone() == (None,)


async def test_a_service_cannot_open_the_store_while_it_is_moved(path: Path, database_url: str) -> None:
    await fill(path, events=20)
    with opened_source(path), pytest.raises(StoreError, match="is open in another process"):
        await InlineSqliteStore(path).open()


@pytest.mark.parametrize(
    ("from_", "to", "code", "said"),
    [
        ("memory:", "postgresql://host/db", 2, "--from: only a store on a file can be moved"),
        ("postgresql://host/db", "postgresql://host/db", 2, "--from: "),
        ("sqlite:///roombell.db", "sqlite:///other.db", 2, "--to: a store moves to PostgreSQL only; write postgresql://"),
        ("sqlite:////nowhere/roombell.db", "postgresql://127.0.0.1:1/db", 4, "There is no store at /nowhere/roombell.db"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_sentence(capsys, from_: str, to: str, code: int, said: str) -> None:
    assert run(["migrate", "--from", from_, "--to", to]) == code
    said_of_it = capsys.readouterr().err
    assert said in said_of_it
    assert "Traceback" not in said_of_it


async def test_a_database_that_is_not_there_is_said_in_one_sentence(path: Path) -> None:
    await fill(path, events=5)
    ended = await migrate(path, "postgresql://somebody:hidden@127.0.0.1:1/db")
    assert ended.code == 4
    assert "cannot be reached" in ended.err
    assert "hidden" not in ended.err + ended.out
    assert "Traceback" not in ended.err
