"""A store that an earlier version made is moved up when it is opened, and nothing in it is lost."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from roombell.engine.model import DeliveryState, EndpointState
from roombell.engine.selection import Selector
from roombell.engine.transitions import Verb
from roombell.stores.sqlite import schema
from roombell.stores.sqlite.inline import InlineSqliteStore
from roombell.testing.store_driver import NOW_MS, event_ids, opened, settle

FIRST_SCHEMA = (Path(schema.__file__).parent / "migrations" / "0001_lanes.sql").read_text()

ROWS = f"""
INSERT INTO store VALUES ('0badcafe');
INSERT INTO endpoint (id, name, state, reason, changed_at_ms, pending, dead)
VALUES (1, 'backend', 'active', '', {NOW_MS}, 4, 2);
INSERT INTO event (id, event_id, event_type, ordering_key, room_name, accepted_at_ms, body)
SELECT value, 'e' || value, 'room_started', 'key', 'room', {NOW_MS}, x'7b7d' FROM generated;
INSERT INTO lane (id, endpoint_id, ordering_key, last_sequence, kept, head_sequence, head_accepted_at_ms, pending,
    due_at_ms, lease_owner, lease_expires_at_ms, generation, blocked)
VALUES (1, 1, 'retrying', 3, 3, 2, {NOW_MS}, 2, {NOW_MS}, NULL, 0, 4, 0),
    (2, 1, 'blocked', 2, 2, 2, {NOW_MS}, 1, {NOW_MS}, NULL, 0, 1, 1),
    (3, 1, 'leased', 1, 1, 1, {NOW_MS}, 1, {NOW_MS}, 'worker-0', {NOW_MS + 9_000_000}, 1, 0);
INSERT INTO delivery (event, lane_id, sequence, accepted_at_ms, state, attempts, reason, settled_at_ms)
VALUES (1, 1, 1, {NOW_MS}, 'dead', 8, 'attempts exhausted', {NOW_MS}), (2, 1, 2, {NOW_MS}, 'pending', 3, '', NULL),
    (3, 1, 3, {NOW_MS}, 'pending', 0, '', NULL), (4, 2, 1, {NOW_MS}, 'dead', 8, 'attempts exhausted', {NOW_MS}),
    (5, 2, 2, {NOW_MS}, 'pending', 0, '', NULL), (6, 3, 1, {NOW_MS}, 'pending', 1, '', NULL);
INSERT INTO attempt SELECT 2, 1, value, {NOW_MS}, 5, 'answered', 500, '' FROM generated WHERE value <= 3;
"""


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.executescript(FIRST_SCHEMA)
        connection.executescript(
            "CREATE TEMP TABLE generated (value); INSERT INTO generated VALUES (1), (2), (3), (4), (5), (6);" + ROWS
        )
        connection.execute("PRAGMA user_version = 1")
    return path


async def test_what_is_owed_and_what_was_counted_comes_over(old_store: Path) -> None:
    async with opened(lambda: InlineSqliteStore(old_store)) as it:
        (status,) = await it.store.endpoints()
        assert (it.store.store_id, status.state, status.health) == ("0badcafe", EndpointState.ACTIVE, b"")
        assert (status.pending, status.dead, status.blocked) == (4, 2, 1)
        assert status.oldest_pending_at_ms == NOW_MS
        lanes = {lane.ordering_key: lane for lane in (await it.acquire(status.endpoint_id)).lanes}
        assert {key: event_ids(lane) for key, lane in lanes.items()} == {"retrying": ["e2", "e3"], "leased": ["e6"]}
        heads = lanes["retrying"].heads
        assert [(head.attempts, head.strikes, head.redriven_at_ms) for head in heads] == [(3, 3, 0), (0, 0, 0)]
        assert [answer.lost for answer in await it.settle(settle(lanes["retrying"], 2, number=4))] == [False]


async def test_a_lane_that_was_blocked_goes_on_when_its_delivery_is_redriven(old_store: Path) -> None:
    async with opened(lambda: InlineSqliteStore(old_store)) as it:
        assert [(dead.event_id, dead.blocks) for dead in await it.find(Selector(states=(DeliveryState.DEAD,)))] == [
            ("e1", False),
            ("e4", True),
        ]
        assert (await it.change(Verb.REDRIVE)).changed == 2
        (status,) = await it.store.endpoints()
        lanes = {lane.ordering_key: lane for lane in (await it.acquire(status.endpoint_id)).lanes}
        assert event_ids(lanes["blocked"]) == ["e4", "e5"]
        assert event_ids(lanes["retrying"]) == ["e1", "e2", "e3"]


async def test_moving_up_again_changes_nothing(old_store: Path) -> None:
    for _ in range(2):
        async with opened(lambda: InlineSqliteStore(old_store)) as it:
            assert len(await it.find()) == 6
