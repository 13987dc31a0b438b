"""The plan of each hot statement with a million pending deliveries: by index, and few rows, whatever the backlog."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from roombell.stores.postgres import schema
from roombell.stores.postgres.connections import SETTINGS
from roombell.stores.postgres.queries import query
from roombell.stores.postgres.store import PostgresStore
from roombell.stores.postgres.url import parse_url
from roombell.testing.store_driver import NOW_MS
from support.postgres import PostgresServer

ENDPOINTS, KEYS, PER_LANE = 10, 10_000, 10
LANES = ENDPOINTS * KEYS
EMPTIES = {"moving_again"}
"""It has no plan."""
QUERIES = sorted(file.stem for file in (Path(schema.__file__).parent / "queries").glob("*.sql"))
SMALL = {"endpoint", "endpoint_count", "worker", "store"}
"""Tables that have a few rows for each endpoint or worker; these may be scanned."""

FILL = f"""
SET synchronous_commit = off;
INSERT INTO roombell.endpoint (name, state, reason, changed_at_ms)
    SELECT 'e' || n, 'active', '', 0 FROM generate_series(1, {ENDPOINTS}) n;
INSERT INTO roombell.event
    SELECT n, 'EV_' || n, 'room_started', 'key-' || n % {KEYS}, 'room', {NOW_MS} - 100000000 + n, 'body'
    FROM generate_series(0, {KEYS * PER_LANE - 1}) n;
INSERT INTO roombell.lane (id, endpoint_id, ordering_key, last_sequence, kept, head_owed_since_ms, pending, due_at_ms,
        lease_owner, lease_expires_at_ms, generation, blocked)
    SELECT (e - 1) * {KEYS} + k, e, 'key-' || k, {PER_LANE}, {PER_LANE}, {NOW_MS} - 100000000 + k, {PER_LANE},
        {NOW_MS} - k, CASE WHEN k % 50 = 0 THEN 'worker' END, {NOW_MS} + k - 10, 1, (k % 100 = 1)::int
    FROM generate_series(1, {ENDPOINTS}) e, generate_series(0, {KEYS - 1}) k;
INSERT INTO roombell.delivery
    SELECT n, (e - 1) * {KEYS} + n % {KEYS}, n / {KEYS} + 1, {NOW_MS} - 100000000 + n, 'pending', 0, 0, '', NULL
    FROM generate_series(1, {ENDPOINTS}) e, generate_series(0, {KEYS * PER_LANE - 1}) n;
INSERT INTO roombell.document SELECT 'room-' || n, 1, 'value' FROM generate_series(1, {KEYS}) n;
SELECT setval('roombell.event_number', 10000000), setval('roombell.lane_number', 10000000);
ANALYZE;
"""

TEN = list(range(1001, 1011))
"""Some lanes."""
KEYS_OF_TEN = [f"key-{n}" for n in range(10)]
ONES = [1] * 10
LANE_COLUMNS = (
    *([11] * 10, [10] * 10, ONES, ONES, [10] * 10, ONES, [None] * 10, ONES, [2] * 10, [0] * 10, [0] * 10, TEN),
)
MADE = (
    *(TEN, ONES, ["delivered"] * 10, ONES, ONES, [""] * 10, [NOW_MS] * 10),
    *(ONES, ONES, ["answered"] * 10, [200] * 10, [""] * 10),
)

ROWS_MAX = {
    "event_add": ((KEYS_OF_TEN,) * 4 + (ONES, [b"x"] * 10), 60),
    "lanes_add": (([1] * 10, KEYS_OF_TEN), 60),
    "lanes_lock": ((TEN, [2] * 10, KEYS_OF_TEN), 120),
    "pending_between": ((TEN, ONES, [3] * 10, 1025), 60),
    "batch_write": (
        (
            *LANE_COLUMNS,
            *([20_000_000] * 10, TEN, [11] * 10, ONES),
            *MADE,
            *([1, 2], [1, 1], [0, 0]),
        ),
        200,
    ),
    "lanes_find_head": ((TEN,), 100),
    "lanes_free_lock": ((1, NOW_MS, 129), 800),
    "lane_waiting_first": ((1, TEN), 20),
    "lanes_lease": ((TEN, "worker-2", NOW_MS, 16, 8_000_000), 600),
    "page": ((1001, 1, 3, 16, 8_000_000), 60),
    "bodies": ((TEN,), 20),
    "leases_end_expired": ((NOW_MS, 500), 1_500),
    "lanes_too_old_lock": ((1, NOW_MS, 50), 150),
    "deliveries_from_heads": ((TEN, ONES, 5), 120),
    "deliveries_end": ((TEN, ONES, "dead", "expired", NOW_MS), 120),
    "events_old": ((-1, 0, NOW_MS, 50), 200),
    "lanes_of_events_lock": (([1, 2, 3],), 150),
    "events_forget": (([1, 2, 3],), 150),
    "lanes_forget": ((TEN,), 20),
    "walk": ((0, 0, 2**62, 100), 700),
    "walk_given_up": ((0, 0, 2**62, 100), 700),
    "event_row": (("EV_77",), 5),
    "attempts_of_event": ((77,), 5),
    "deliveries_now": (([1, 2], [1, 2]), 20),
    "deliveries_revive": (([1, 2], [1, 2], NOW_MS), 20),
    "deliveries_cancel": (([1, 2], [1, 2], "by hand", NOW_MS), 20),
    "lanes_blocked": ((0, 0, 2**62, 50), 100),
    "lanes_unblock": ((TEN, NOW_MS), 30),
    "lanes_write": (LANE_COLUMNS, 60),
    "endpoints": ((), 40_000),
    "moving_event": ((77, 100), 110),
    "moving_lane": ((77, 100), 110),
    "moving_delivery": ((77, 1, 100), 110),
    "moving_attempt": ((77, 1, 1, 100), 110),
    "moving_document": ((77, "room-77", 100), 110),
}
"""For each: with what it is asked, and how many rows its plan may touch in all.

``endpoints`` looks at every leased lane and its head, which are as many as workers hold, and at the blocked ones.
"""


@pytest.fixture(scope="module")
def filled(postgres: PostgresServer) -> str:
    """A database with a million pending deliveries."""
    url = postgres.new_database()

    async def make() -> None:
        store = PostgresStore(parse_url(url))
        await store.open()
        await store.close()

    asyncio.run(make())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL)
    return url


@pytest.fixture
async def connection(filled: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(filled, server_settings=SETTINGS)
    yield connection
    await connection.close()


def nodes(node: dict[str, object]) -> Iterator[dict[str, object]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from nodes(inner)


def literal(value: object) -> str:
    """A parameter as SQL writes it: EXECUTE takes no others, and only EXECUTE shows the plan that is kept."""
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(literal, value))}]"
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    return f"'{value}'" if isinstance(value, str) else str(value)


def touched(node: dict[str, object]) -> float:
    """Rows that a scan of a table gave or threw away."""
    if "Relation Name" not in node or node["Node Type"] == "ModifyTable":
        return 0
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return (node["Actual Rows"] + removed) * node["Actual Loops"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", sorted(ROWS_MAX))
async def test_a_hot_statement_touches_few_of_a_million_rows(connection: asyncpg.Connection, name: str) -> None:
    parameters, rows_max = ROWS_MAX[name]
    given = f"({', '.join(map(literal, parameters))})" if parameters else ""
    await connection.execute(f"PREPARE asked AS {query(name)}")
    await connection.execute("BEGIN")
    ((plan,),) = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked {given}")
    await connection.execute("ROLLBACK")
    found = list(nodes(json.loads(plan)[0]["Plan"]))
    scanned = [one["Relation Name"] for one in found if one["Node Type"] == "Seq Scan"]
    assert set(scanned) <= SMALL
    assert sum(touched(one) for one in found) <= rows_max


async def test_working_a_leased_lane_touches_no_index(connection: asyncpg.Connection) -> None:
    """An event for a lane that is leased, and its settlement, are updates within the page (HOT)."""
    await connection.execute("BEGIN")
    before = await connection.fetchrow(HOT)
    leased = [KEYS + 50 * n for n in range(10)]
    columns = (
        *LANE_COLUMNS[:6],
        ["worker"] * 10,
        [NOW_MS + 50 * n - 10 for n in range(10)],
        *LANE_COLUMNS[8:11],
        leased,
    )
    for _ in range(5):
        await connection.execute(query("lanes_write"), *columns)
    after = await connection.fetchrow(HOT)
    await connection.execute("ROLLBACK")
    assert after["updated"] - before["updated"] == 50
    assert after["hot"] - before["hot"] >= 40


HOT = (
    "SELECT pg_stat_get_xact_tuples_updated(c) AS updated, pg_stat_get_xact_tuples_hot_updated(c) AS hot"
    " FROM (SELECT 'roombell.lane'::regclass::oid AS c) AS lane"
)


@pytest.mark.parametrize("name", QUERIES)
def test_every_statement_says_what_it_is_for(name: str) -> None:
    first, rest = query(name).split("\n", 1)
    assert re.fullmatch(r"-- .{15,}", first)
    assert ";" not in rest, "one statement to a file"


def test_every_statement_on_the_large_tables_has_its_plan_tested() -> None:
    large = re.compile(r"roombell\.(event|lane|delivery|attempt)\b")
    planned = EMPTIES | ROWS_MAX.keys()
    assert [name for name in QUERIES if large.search(query(name)) and name not in planned] == []
