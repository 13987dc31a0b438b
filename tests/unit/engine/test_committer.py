from __future__ import annotations

import asyncio

import pytest

from roombell.engine.committer import ACCEPTS_PER_BATCH_MAX, Committer
from roombell.engine.hooks import CommitFailed, Committed, Hooks
from roombell.engine.model import (
    Accept,
    Accepted,
    BatchResult,
    DeliveryState,
    Generation,
    LaneId,
    Sequence,
    Settle,
    Settled,
)
from roombell.errors import Stopped, StoreFull, StoreUnavailable
from roombell.testing.virtual_time import VirtualClock, run


class Store:
    def __init__(self):
        self.batches, self.error = [], None

    async def commit(self, batch):
        self.batches.append(batch)
        await asyncio.sleep(1.0)
        if self.error is not None:
            raise self.error
        return BatchResult(
            accepted=tuple(Accepted(duplicate=False) for _ in batch.accepts),
            settled=tuple(Settled(lost=False) for _ in batch.settles),
            renewed=(),
            commit_ms=1.0,
        )


class Placement:
    def __init__(self):
        self.told = []

    def grants(self):
        return ()

    def placed(self, accept, accepted, expires_at_ms):
        self.told.append(("placed", accept.event_id))

    def settled(self, settle, result):
        self.told.append(("settled", settle.sequence))

    def unsettled(self, settle, error):
        self.told.append(("unsettled", settle.sequence))


def accept(number):
    return Accept(f"EV_{number}", "x", "key", "room", b"body", 0, ())


def settle(number):
    return Settle(LaneId(1), Generation(1), Sequence(number), DeliveryState.DELIVERED, None, 0)


def committing(test):
    def wrapped():
        async def main():
            store, placement, records = Store(), Placement(), []
            committer = Committer(store, VirtualClock(), Hooks([records.append]), owner="w", lease_ms=1000)
            committer.bind(placement)
            committer.start()
            await test(store, placement, records, committer)
            await committer.stop()

        run(main())

    wrapped.__name__ = test.__name__
    return wrapped


@committing
async def test_what_comes_during_a_commit_goes_into_the_next_one_together(store, placement, records, committer):
    first = committer.accept(accept(0))
    await asyncio.sleep(0.5)
    rest = [committer.accept(accept(n)) for n in range(1, 6)]
    committer.settle(settle(1))
    await asyncio.gather(first, *rest)
    assert [(len(b.accepts), len(b.settles)) for b in store.batches] == [(1, 0), (5, 1)]
    assert [(r.accepts, r.settles) for r in records if isinstance(r, Committed)] == [(1, 0), (5, 1)]


@committing
async def test_a_producer_is_answered_only_after_its_commit(store, placement, records, committer):
    future = committer.accept(accept(1))
    await asyncio.sleep(0.99)
    assert not future.done()
    await asyncio.sleep(0.02)
    assert future.done()


@committing
async def test_a_batch_is_bounded(store, placement, records, committer):
    futures = [committer.accept(accept(n)) for n in range(ACCEPTS_PER_BATCH_MAX + 10)]
    assert (committer.waiting, committer.waiting_bytes) == (len(futures), 4 * len(futures))
    await asyncio.gather(*futures)
    assert [len(b.accepts) for b in store.batches] == [ACCEPTS_PER_BATCH_MAX, 10]
    assert (committer.waiting, committer.waiting_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreFull("full"), StoreFull),
        (StoreUnavailable("away"), StoreUnavailable),
        (KeyError("fault"), StoreUnavailable),
    ],
)
def test_a_commit_that_fails_fails_everyone_in_it_and_the_next_is_tried_at_once(error, told):
    @committing
    async def check(store, placement, records, committer):
        store.error = error
        future = committer.accept(accept(1))
        committer.settle(settle(1))
        failure = (await asyncio.gather(future, return_exceptions=True))[0]
        assert isinstance(failure, told)
        assert placement.told == [("unsettled", 1)]
        assert [type(r) for r in records] == [CommitFailed]
        assert committer.last_error is failure
        store.error = None
        await committer.accept(accept(2))
        assert committer.last_error is None

    check()


@committing
async def test_a_cancelled_producer_takes_nothing_back_and_disturbs_nobody(store, placement, records, committer):
    gone, stays = committer.accept(accept(1)), committer.accept(accept(2))
    gone.cancel()
    await stays
    assert placement.told == [("placed", "EV_1"), ("placed", "EV_2")]


@committing
async def test_a_stop_writes_what_was_given(store, placement, records, committer):
    future = committer.accept(accept(1))
    await committer.stop()
    assert future.result() == Accepted(duplicate=False)


@committing
async def test_a_stop_with_a_store_that_fails_ends_and_tells_the_producers(store, placement, records, committer):
    store.error = StoreFull("full")
    futures = [committer.accept(accept(n)) for n in range(2 * ACCEPTS_PER_BATCH_MAX)]
    await committer.stop()
    errors = {type(e) for e in await asyncio.gather(*futures, return_exceptions=True)}
    assert errors <= {StoreFull, Stopped}
