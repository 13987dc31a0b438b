"""No hot statement reads more rows than it must: each uses its index, and none scans or sorts a backlog."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from roombell.stores.sqlite import schema
from roombell.stores.sqlite.queries import query
from roombell.stores.text import kept

QUERIES = sorted(file.stem for file in (Path(schema.__file__).parent / "queries").glob("*.sql"))
ONCE = {"moving_contents"}
"""A move counts all there is, once."""

PLANS = {
    "attempt_add": ["SEARCH delivery USING INDEX delivery_pending (lane_id=? AND sequence=?)"],
    "attempts_of_event": ["SEARCH attempt USING PRIMARY KEY (event=?)"],
    "attempts_forget": ["SEARCH attempt USING PRIMARY KEY (event=?)"],
    "deliveries_forget": ["SEARCH delivery USING PRIMARY KEY (event=?)"],
    "deliveries_from_head": ["SEARCH delivery USING INDEX delivery_pending (lane_id=? AND sequence>?)"],
    "deliveries_of_event": [
        "SEARCH delivery USING PRIMARY KEY (event=?)",
        "SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "delivery_add": [],
    "delivery_cancel": ["SEARCH delivery USING PRIMARY KEY (event=? AND lane_id=?)"],
    "delivery_is_pending_between": [
        "SCAN CONSTANT ROW",
        "SEARCH delivery USING INDEX delivery_pending (lane_id=? AND sequence>? AND sequence<?)",
    ],
    "delivery_revive": ["SEARCH delivery USING PRIMARY KEY (event=? AND lane_id=?)"],
    "delivery_settle": ["SEARCH delivery USING INDEX delivery_pending (lane_id=? AND sequence=?)"],
    "endpoint_change": ["SEARCH endpoint USING INTEGER PRIMARY KEY (rowid=?)"],
    "endpoint_count": ["SEARCH endpoint USING INTEGER PRIMARY KEY (rowid=?)"],
    "endpoint_is_active": ["SEARCH endpoint USING INTEGER PRIMARY KEY (rowid=?)"],
    "endpoints": [
        "SCAN endpoint",
        "SEARCH lane USING INDEX lane_blocked (endpoint_id=?)",
        "SEARCH lane USING INDEX lane_ageing (endpoint_id=?)",
    ],
    "event_add": [],
    "event_forget": ["SEARCH event USING INTEGER PRIMARY KEY (rowid=?)"],
    "event_row": ["SEARCH event USING COVERING INDEX sqlite_autoindex_event_1 (event_id=?)"],
    "heads": [
        "SEARCH delivery USING INDEX delivery_pending (lane_id=? AND sequence>?)",
        "SEARCH event USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "lane_add": [],
    "lane_by_id": ["SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)"],
    "lane_by_key": ["SEARCH lane USING INDEX sqlite_autoindex_lane_1 (endpoint_id=? AND ordering_key=?)"],
    "lane_find_head": [
        "SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH delivery USING INDEX delivery_pending (lane_id=? AND sequence>?)",
    ],
    "lane_forget": ["SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)"],
    "lane_head_if_held": ["SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)"],
    "lane_keep_less": ["SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)"],
    "lane_lease": ["SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)"],
    "lane_shorten": [
        "SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH delivery USING INDEX delivery_pending (lane_id=? AND sequence>?)",
    ],
    "lane_unblock": ["SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)"],
    "lane_write": ["SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)"],
    "lanes_too_old": ["SEARCH lane USING INDEX lane_ageing (endpoint_id=? AND head_owed_since_ms<?)"],
    "lanes_blocked": ["SEARCH lane USING INDEX lane_blocked (endpoint_id>? AND endpoint_id<?)"],
    "lanes_waiting": ["SEARCH lane USING INDEX lane_waiting (endpoint_id=?)"],
    "moving_document": [
        "SEARCH numbered USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH document USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "walk": [
        "SEARCH delivery USING PRIMARY KEY ((event,lane_id)>(?,?) AND event<?)",
        "SEARCH event USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)",
    ],
    "walk_given_up": [
        "SEARCH delivery USING INDEX delivery_given_up ((event,lane_id)>(?,?) AND event<?)",
        "SEARCH event USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH lane USING INTEGER PRIMARY KEY (rowid=?)",
    ],
}
"""Of the rest, what is leased is scanned, which is as much as workers hold, or an endpoint is, which are few."""


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(schema.connect(str(tmp_path / "store.db"))) as connection:
        connection.create_function("kept", 1, kept, deterministic=True)
        connection.execute(query("moving_numbered"))
        yield connection


def plan(connection: sqlite3.Connection, name: str) -> list[str]:
    statement = query(name)
    bare = re.sub(r"--.*", "", statement)
    parameters: object = dict.fromkeys(re.findall(r":(\w+)", bare), 1) or [1] * bare.count("?")
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    return [row[3] for row in rows if not row[3].startswith(("CORRELATED", "SCALAR"))]


@pytest.mark.parametrize("name", sorted(PLANS))
def test_a_hot_statement_reads_by_its_index(connection: sqlite3.Connection, name: str) -> None:
    assert plan(connection, name) == PLANS[name]


@pytest.mark.parametrize("name", [name for name in QUERIES if name not in ONCE])
def test_no_statement_scans_events_deliveries_or_attempts(connection: sqlite3.Connection, name: str) -> None:
    steps = plan(connection, name)
    assert not [step for step in steps if re.match(r"SCAN (event|delivery|attempt)\b", step)]
    lanes = [step for step in steps if re.match(r"(SCAN|SEARCH) lane\b", step)]
    assert not [step for step in lanes if step.startswith("SCAN") and "lane_leased" not in step]


@pytest.mark.parametrize("name", QUERIES)
def test_every_statement_says_what_it_is_for(name: str) -> None:
    first, rest = query(name).split("\n", 1)
    assert re.fullmatch(r"-- .{15,}", first)
    assert ";" not in rest, "one statement to a file"


def test_pruning_goes_along_the_events_by_age(connection: sqlite3.Connection) -> None:
    steps = plan(connection, "events_old")
    assert steps[0].startswith("SEARCH event USING COVERING INDEX event_by_age"), steps
    assert not [step for step in steps if "TEMP B-TREE" in step]
