"""Every store does what the memory store does, whatever is asked in whatever order."""

import asyncio
import sqlite3
import tempfile
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from roombell.engine.model import (
    NO_LEASE,
    Accept,
    AttemptRecord,
    Batch,
    BatchResult,
    DeliveryState,
    EndpointId,
    EndpointState,
    Generation,
    Grant,
    LaneId,
    Release,
    Renew,
    Sequence,
    Settle,
)
from roombell.engine.ports import Store
from roombell.engine.selection import BY_HAND, Changed, Cursor, Found, Selector
from roombell.engine.transitions import Verb
from roombell.stores.memory import MemoryDisk, MemoryStore, StoredDelivery
from roombell.stores.postgres.store import PostgresStore
from roombell.stores.postgres.url import parse_url
from roombell.stores.sqlite.inline import InlineSqliteStore

NAMES = ("x", "y", "z")
OWNERS = ("worker-1", "worker-2")
KEYS = ("room-1", "room-2", "room-3")

endpoints = st.lists(st.sampled_from([1, 2, 3]), unique=True, max_size=3)
spans_ms = st.integers(-30, 60)
moments_ms = st.none() | st.integers(950, 1_200)
selectors = st.builds(
    Selector,
    states=st.lists(st.sampled_from(DeliveryState), unique=True).map(tuple) | st.just(tuple(DeliveryState)),
    endpoint_id=st.none() | st.integers(1, 3),
    ordering_key=st.none() | st.sampled_from(KEYS),
    room_name=st.none() | st.sampled_from(("room", "another")),
    event_id=st.none() | st.integers(1, 20).map("EV_{}".format),
    since_ms=moments_ms,
    until_ms=moments_ms,
    as_of_ms=moments_ms,
)
wide = st.just(Selector())


class StoresAgree(RuleBasedStateMachine):
    """Every rule asks both stores the same and compares the answers; then their contents are compared."""

    shared: bool
    schema: str

    @abstractmethod
    def prepare(self) -> None:
        """Empties the storage."""

    @abstractmethod
    def make(self) -> Store:
        """A store over the storage."""

    @abstractmethod
    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """What the storage answers when it is looked into from outside."""

    @initialize()
    def open(self) -> None:
        self.prepare()
        self.runner = asyncio.Runner()
        self.disk = MemoryDisk()
        self.now_ms = 1_000
        self.made = 0
        self.held: dict[LaneId, tuple[Generation, Sequence, int]] = {}
        """What a worker believes: generation, oldest pending, attempts made. Lost leases stay in it."""
        self.reopen()
        self.both("register", NAMES, now_ms=self.now_ms)

    def reopen(self) -> None:
        self.memory, self.other = MemoryStore(self.disk, shared=self.shared), self.make()
        self.run(self.memory.open())
        self.run(self.other.open())

    def run(self, awaitable: Awaitable[object]) -> object:
        return self.runner.run(awaitable)

    def both(self, method: str, *args: object, **keywords: object) -> object:
        expected = self.run(getattr(self.memory, method)(*args, **keywords))
        found = self.run(getattr(self.other, method)(*args, **keywords))
        if isinstance(found, BatchResult):
            expected, found = ((result.accepted, result.settled, result.renewed) for result in (expected, found))
        assert found == expected
        return found

    def commit(self, owner: str, **parts: object) -> object:
        return self.both("commit", Batch(owner, self.now_ms + 40, **parts))

    @rule(span_ms=spans_ms)
    def time_passes(self, span_ms: int) -> None:
        self.now_ms += span_ms

    @rule(data=st.data(), owner=st.sampled_from(OWNERS), count=st.integers(1, 5))
    def accept(self, data: st.DataObject, owner: str, count: int) -> None:
        accepts = []
        for _ in range(count):
            known = data.draw(st.integers(0, 9)) == 0
            self.made += not known
            accepts.append(
                Accept(
                    event_id=f"EV_{self.made}",
                    event_type="room_started",
                    ordering_key=data.draw(st.sampled_from(KEYS)),
                    room_name="room",
                    body=b"x" * data.draw(st.integers(0, 20)),
                    accepted_at_ms=self.now_ms + data.draw(spans_ms),
                    endpoints=tuple(EndpointId(number) for number in data.draw(endpoints)),
                )
            )
        grants = tuple(Grant(EndpointId(number), data.draw(st.integers(0, 2))) for number in data.draw(endpoints))
        accepted, _, _ = self.commit(owner, accepts=tuple(accepts), grants=grants)
        for answer in accepted:
            for place in answer.placed:
                if place.generation != NO_LEASE and place.lane_id not in self.held:
                    self.held[place.lane_id] = (place.generation, place.sequence, 0)

    @rule(
        owner=st.sampled_from(OWNERS),
        endpoint=st.integers(1, 3),
        lanes_max=st.integers(1, 3),
        heads_max=st.integers(1, 3),
        body_bytes_max=st.integers(0, 60),
        lease_ms=st.integers(1, 60),
    )
    def acquire(
        self, owner: str, endpoint: int, lanes_max: int, heads_max: int, body_bytes_max: int, lease_ms: int
    ) -> None:
        acquired = self.both(
            "acquire",
            owner,
            EndpointId(endpoint),
            lanes_max=lanes_max,
            heads_max=heads_max,
            body_bytes_max=body_bytes_max,
            now_ms=self.now_ms,
            expires_at_ms=self.now_ms + lease_ms,
        )
        for lane in acquired.lanes:
            self.held[lane.lane_id] = (lane.generation, lane.heads[0].sequence, lane.heads[0].attempts)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), after=st.integers(0, 5), heads_max=st.integers(1, 3), body_bytes_max=st.integers(0, 40))
    def page(self, data: st.DataObject, after: int, heads_max: int, body_bytes_max: int) -> None:
        lane_id = data.draw(st.sampled_from(sorted(self.held)))
        generation = self.held[lane_id][0]
        self.both(
            "page", lane_id, generation, after=Sequence(after), heads_max=heads_max, body_bytes_max=body_bytes_max
        )

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        state=st.sampled_from(DeliveryState),
        tried=st.booleans(),
        counted=st.booleans(),
        block=st.integers(0, 5).map(lambda number: number == 0),
        due_ms=spans_ms,
        more=st.booleans(),
    )
    def settle(
        self,
        *,
        data: st.DataObject,
        state: DeliveryState,
        tried: bool,
        counted: bool,
        block: bool,
        due_ms: int,
        more: bool,
    ) -> None:
        lane_id = data.draw(st.sampled_from(sorted(self.held)))
        generation, sequence, attempts = self.held[lane_id]
        settle = Settle(
            lane_id=lane_id,
            generation=generation,
            sequence=sequence,
            state=state,
            attempt=AttemptRecord(attempts + 1, self.now_ms, 5, "answered", 500, "no") if tried else None,
            settled_at_ms=self.now_ms,
            due_at_ms=self.now_ms + due_ms,
            reason="" if state in (DeliveryState.PENDING, DeliveryState.DELIVERED) else "because",
            block=block and state is DeliveryState.DEAD,
            counted=counted,
        )
        accepts = ()
        if more:
            self.made += 1
            key, body = data.draw(st.sampled_from(KEYS)), b"more"
            accepts = (Accept(f"EV_{self.made}", "t", key, "room", body, self.now_ms, (EndpointId(1),)),)
        _, settled, _ = self.commit(data.draw(st.sampled_from(OWNERS)), accepts=accepts, settles=(settle,))
        self.follow(settle, lost=settled[0].lost or settled[0].recalled, pending=settled[0].pending)

    def follow(self, settle: Settle, *, lost: bool, pending: int) -> None:
        """A worker goes on with the next of the lane, and keeps a lost lease in mind to try it again."""
        if lost or settle.state is DeliveryState.PENDING or settle.block or pending == 0:
            return
        lane = self.disk.lanes[settle.lane_id]
        sequence = lane.head()
        self.held[settle.lane_id] = (settle.generation, sequence, len(lane.deliveries[sequence].attempts))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), due_ms=spans_ms, lease_ms=spans_ms)
    def renew_and_release(self, data: st.DataObject, due_ms: int, lease_ms: int) -> None:
        lanes = data.draw(st.lists(st.sampled_from(sorted(self.held)), min_size=1, max_size=3))
        kept, given_back = lanes[1:], lanes[:1]
        self.commit(
            OWNERS[0],
            releases=tuple(Release(lane, self.held[lane][0], self.now_ms + due_ms) for lane in given_back),
            renewals=tuple(Renew(lane, self.held[lane][0], self.now_ms + lease_ms) for lane in kept),
        )

    @rule(selector=selectors | wide, limit=st.integers(1, 5))
    def find(self, selector: Selector, limit: int) -> None:
        self.walk(lambda store, after: store.find(selector, after=after, limit=limit), whole=True)

    @rule(selector=selectors | wide, verb=st.sampled_from(BY_HAND), limit=st.integers(1, 5), whole=st.booleans())
    def change(self, selector: Selector, verb: Verb, limit: int, whole: bool) -> None:
        """The whole walk, or the first step of one that was interrupted."""
        now_ms = self.now_ms
        self.walk(
            lambda store, after: store.change(
                selector, verb, reason="by hand", after=after, limit=limit, now_ms=now_ms
            ),
            whole=whole,
        )

    def walk(self, step: Callable[[Store, Cursor | None], Awaitable[Found | Changed]], *, whole: bool) -> None:
        """Steps through both stores side by side; where a step ended means something to each store alone."""
        after: list[Cursor | None] = [None, None]
        while True:
            expected, found = (
                self.run(step(store, place)) for store, place in zip((self.memory, self.other), after, strict=True)
            )
            after = [expected.next, found.next]
            assert msgspec.structs.replace(found, next=None) == msgspec.structs.replace(expected, next=None)
            assert (after[0] is None) == (after[1] is None)
            if after[0] is None or not whole:
                return

    @rule(endpoint=st.none() | st.integers(1, 3), key=st.none() | st.sampled_from(KEYS))
    def unblock(self, endpoint: int | None, key: str | None) -> None:
        self.both("unblock", endpoint, key, after=None, limit=100, now_ms=self.now_ms)
        self.held = {lane: belief for lane, belief in self.held.items() if lane in self.disk.lanes}

    @rule(number=st.integers(1, 20))
    def history(self, number: int) -> None:
        self.both("history", f"EV_{number}")

    @rule(endpoint=st.integers(1, 3), health=st.binary(max_size=4))
    def set_endpoint_health(self, endpoint: int, health: bytes) -> None:
        self.both("set_endpoint_health", EndpointId(endpoint), health)

    @rule(names=st.lists(st.sampled_from(NAMES)))
    def register(self, names: list[str]) -> None:
        self.both("register", names, now_ms=self.now_ms)

    @rule(endpoint=st.integers(1, 3), state=st.sampled_from(EndpointState))
    def set_endpoint_state(self, endpoint: int, state: EndpointState) -> None:
        self.both("set_endpoint_state", EndpointId(endpoint), state, reason="why", now_ms=self.now_ms)

    @rule(
        ages=st.dictionaries(st.integers(0, 3), st.integers(-10, 60)),
        limit=st.integers(1, 6),
    )
    def reap(self, ages: dict[int, int], limit: int) -> None:
        max_age_ms = {EndpointId(number): age for number, age in ages.items()}
        self.both("reap", now_ms=self.now_ms, max_age_ms=max_age_ms, limit=limit)

    @rule(span_ms=spans_ms, limit=st.integers(1, 5))
    def prune(self, span_ms: int, limit: int) -> None:
        """Stores may step differently; what is gone in the end is the same."""
        gone = []
        for store in (self.memory, self.other):
            events, lanes, more = 0, 0, True
            while more:
                pruned = self.run(store.prune(before_ms=self.now_ms + span_ms, limit=limit))
                events, lanes, more = events + pruned.events, lanes + pruned.lanes, pruned.more
            gone.append((events, lanes))
        assert gone[0] == gone[1]
        self.held = {lane: belief for lane, belief in self.held.items() if lane in self.disk.lanes}

    @rule(crash=st.booleans())
    def close_and_open(self, crash: bool) -> None:
        if crash:
            self.disk.crash()
        else:
            self.run(self.memory.close())
        self.run(self.other.close())
        self.reopen()

    @invariant()
    def contents_agree(self) -> None:
        self.both("endpoints")
        assert self.dump() == sorted(self.disk.deliveries(), key=lambda row: (row.lane_id, row.sequence))
        assert self.rows(
            "SELECT id, last_sequence, pending, lease_owner, generation, blocked, recalled, due_at_ms, kept"
            f" FROM {self.schema}lane ORDER BY id"
        ) == [
            (
                lane.lane_id,
                lane.last_sequence,
                lane.pending,
                lane.owner,
                lane.generation,
                lane.blocked,
                lane.recalled,
                lane.due_at_ms,
                len(lane.deliveries),
            )
            for lane in self.disk.lanes.values()
        ]

    def dump(self) -> list[StoredDelivery]:
        """Every delivery in the storage, as the memory store shows them."""
        attempts: dict[tuple[int, int], list[AttemptRecord]] = {}
        for event, lane, *attempt in self.rows(
            "SELECT event, lane_id, number, started_at_ms, duration_ms, outcome, status, detail"
            f" FROM {self.schema}attempt ORDER BY event, lane_id, number"
        ):
            attempts.setdefault((event, lane), []).append(AttemptRecord(*attempt))
        found = []
        for event, lane_id, endpoint_id, key, sequence, event_id, state, reason, settled_at_ms, count in self.rows(
            "SELECT d.event, d.lane_id, endpoint_id, lane.ordering_key, sequence, event_id, state, reason,"
            f" settled_at_ms, attempts FROM {self.schema}delivery d JOIN {self.schema}lane ON lane.id = lane_id"
            f" JOIN {self.schema}event ON event.id = d.event ORDER BY lane_id, sequence"
        ):
            made = tuple(attempts.pop((event, lane_id), ()))
            assert count == len(made)
            found.append(
                StoredDelivery(
                    endpoint_id=endpoint_id,
                    ordering_key=key,
                    lane_id=lane_id,
                    sequence=sequence,
                    event_id=event_id,
                    state=DeliveryState(state),
                    reason=reason,
                    settled_at_ms=settled_at_ms,
                    attempts=made,
                )
            )
        assert not attempts, "attempts at deliveries that are gone"
        return found

    def teardown(self) -> None:
        self.run(self.other.close())
        self.runner.close()


class SqliteAgrees(StoresAgree):
    shared = False
    schema = ""

    def prepare(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "store.db"

    def make(self) -> Store:
        return InlineSqliteStore(self.path)

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.path)
        found = connection.execute(statement).fetchall()
        connection.close()
        return found

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class PostgresAgrees(StoresAgree):
    shared = True
    schema = "roombell."
    url: str
    connection: psycopg.Connection

    def prepare(self) -> None:
        self.connection.execute("DROP SCHEMA IF EXISTS roombell CASCADE")

    def make(self) -> Store:
        return PostgresStore(parse_url(self.url))

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        return self.connection.execute(statement).fetchall()


SETTINGS = settings(
    phases=[Phase.explicit, Phase.generate],
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def test_the_sqlite_store_agrees_with_the_memory_store() -> None:
    run_state_machine_as_test(SqliteAgrees, settings=settings(SETTINGS, max_examples=60))


@pytest.mark.timeout(300)
def test_the_postgresql_store_agrees_with_the_memory_store(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        PostgresAgrees.url, PostgresAgrees.connection = database_url, connection
        run_state_machine_as_test(PostgresAgrees, settings=settings(SETTINGS, max_examples=25))
