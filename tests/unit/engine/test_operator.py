"""What a person asks is carried out in steps that can be taken up, and the engine is told."""

from __future__ import annotations

import pytest

from roombell.engine.model import DeliveryState, EndpointState
from roombell.engine.operator import Action, Operator, Progress, Selection
from roombell.errors import StoreError, UsageError
from roombell.stores.memory import MemoryStore
from roombell.testing.store_driver import NOW_MS, event, opened, settle


class Clock:
    def __init__(self):
        self.ms = NOW_MS

    def now_ms(self):
        return self.ms

    def monotonic(self):
        return self.ms / 1000

    def cpu_s(self):
        return 0.0


class Worker:
    def __init__(self):
        self.told = []

    def look_again(self):
        self.told.append("look again")

    def pause(self, endpoint_id):
        self.told.append(("pause", endpoint_id))

    def resume(self, endpoint_id):
        self.told.append(("resume", endpoint_id))


@pytest.fixture
async def it():
    async with opened(MemoryStore) as driver:
        yield driver


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def operator(it, clock, worker):
    return Operator(it.store, clock, worker)


async def deliver(it, count):
    one = await it.endpoint("app")
    for number in range(count):
        await it.settle(settle(await it.lease_one(event(f"EV_{number}", one, key=f"k{number}")), 1))
    return one


async def test_all_steps_are_done_and_told(it, operator, worker):
    await deliver(it, 1200)
    told = []
    total = await operator.run(Action.REPLAY, by="me", progress=told.append)
    assert total == Progress(done=1200)
    assert [progress.done for progress in told] == [500, 1000, 1200]
    assert [progress.next == "" for progress in told] == [False, False, True]
    assert worker.told == ["look again"] * 3


async def test_an_interrupted_replay_is_taken_up_and_passes_over_what_it_has_done(it, operator, clock):
    one = await deliver(it, 3)
    first = await operator.step(Action.REPLAY, limit=2, by="me")
    clock.ms += 1000
    for lane in (await it.acquire(one)).lanes:
        await it.settle(settle(lane, 1, number=2))
    rest = await operator.run(Action.REPLAY, after=first.next, by="me")
    assert (first.done, rest.done) == (2, 1)


async def test_a_replay_that_is_taken_up_from_the_start_of_itself_repeats_nothing(it, operator, clock):
    await deliver(it, 2)
    first = await operator.step(Action.REPLAY, limit=1, by="me")
    began_at_ms = first.next.split(".")[0]
    clock.ms += 5_000
    again = await operator.run(Action.REPLAY, after=f"{began_at_ms}.0.0", by="me")
    assert again.done == 1


async def test_a_dry_run_counts_and_changes_nothing(it, operator, worker):
    await deliver(it, 3)
    before = await it.find()
    assert (await operator.run(Action.REPLAY, dry_run=True, by="me")).done == 3
    assert (await operator.run(Action.REDRIVE, dry_run=True, by="me")).done == 0
    assert await it.find() == before
    assert worker.told == []


async def test_a_dry_run_of_unblocking_counts_lanes(it, operator):
    one = await it.endpoint("app")
    for key in ("k1", "k2"):
        lane = await it.lease_one(event(key, one, key=key))
        await it.settle(settle(lane, 1, DeliveryState.DEAD, reason="rejected", block=True))
    for selection, lanes in (
        (Selection(), 2),
        (Selection(endpoint="app"), 2),
        (Selection(lane="k2"), 1),
        (Selection(lane="k3"), 0),
    ):
        assert (await operator.run(Action.UNBLOCK, selection, dry_run=True, by="me")).done == lanes
    assert (await operator.run(Action.UNBLOCK, Selection(lane="k2"), by="me")).done == 1
    assert (await operator.run(Action.UNBLOCK, by="me")).done == 1


async def test_who_cancelled_is_on_record(it, operator):
    one = await it.endpoint("app")
    await it.accept(event("EV_1", one))
    assert (await operator.run(Action.CANCEL, by="API key APIabc")).done == 1
    (cancelled,) = await it.find()
    assert cancelled.reason == "cancelled by API key APIabc"


async def test_pausing_and_resuming_is_written_and_the_engine_is_told_after(it, operator, worker):
    one = await it.endpoint("app")
    await operator.pause("app", by="me")
    assert (await it.status(one)).state is EndpointState.PAUSED
    await operator.resume("app", by="me")
    assert (await it.status(one)).state is EndpointState.ACTIVE
    assert worker.told == [("pause", one), ("resume", one)]


async def test_a_removed_endpoint_is_neither_paused_nor_resumed(it, operator):
    one = await it.endpoint("app")
    await it.accept(event("EV_1", one))
    await it.store.register([], now_ms=NOW_MS)
    for ask in (operator.pause, operator.resume):
        with pytest.raises(UsageError, match="not configured any more"):
            await ask("app", by="me")


async def test_without_an_engine_the_store_alone_is_changed(it, clock):
    await deliver(it, 1)
    alone = Operator(it.store, clock)
    assert (await alone.run(Action.REPLAY, by="me")).done == 1
    await alone.pause("app", by="me")
    await alone.resume("app", by="me")


@pytest.mark.parametrize("after", ["x", "1.2", "1.2.3.4", "-1.2.3", "1.2.9999999999999999999", "1,2,3"])
async def test_a_place_that_is_none_is_refused(operator, after):
    with pytest.raises(UsageError, match="no place"):
        await operator.deliveries(after=after)


async def test_an_unknown_endpoint_is_refused_with_those_there_are(it, operator):
    await it.endpoint("app")
    with pytest.raises(UsageError, match=r"'nobody'; there are: app"):
        await operator.run(Action.REDRIVE, Selection(endpoint="nobody"), by="me")


async def test_trouble_in_the_middle_is_told_and_the_rest_can_be_done_after(it, operator):
    await deliver(it, 1100)
    change, failed = it.store.change, []

    async def failing(*args, **keywords):
        if len(failed) == 0 and keywords["after"] is not None:
            failed.append(1)
            raise StoreError("The store refused.")
        return await change(*args, **keywords)

    it.store.change = failing
    with pytest.raises(StoreError):
        await operator.run(Action.REPLAY, by="me")
    assert (await operator.run(Action.REPLAY, by="me")).done == 600
