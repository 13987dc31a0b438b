"""A worker's share of an endpoint's limits. What follows from it in time is the simulation's."""

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roombell.engine.committer import Committer
from roombell.engine.dispatcher import Dispatcher
from roombell.engine.fleet import FleetWatch
from roombell.engine.health import Health
from roombell.engine.hooks import Hooks
from roombell.engine.model import EndpointId, EndpointState, Muster, Outcome, Part
from roombell.engine.ports import AttemptRequest
from roombell.engine.router import EndpointPolicy
from roombell.engine.turns import EndpointTurn
from roombell.stores.memory import MemoryDisk, MemoryStore
from roombell.testing.virtual_time import VirtualClock


@given(limit=st.integers(1, 1024), workers=st.integers(1, 60))
def test_all_shares_together_are_the_limit_and_differ_by_one_at_most(limit: int, workers: int) -> None:
    shares = [Part(rank, workers).of(limit) for rank in range(workers)]
    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1
    assert shares == sorted(shares, reverse=True), "the first ones have what is left over"


def turn_of(part: Part | None, concurrency: int = 1) -> EndpointTurn:
    return EndpointTurn(EndpointPolicy(EndpointId(1), "e", concurrency=concurrency), Health(), part)


def test_a_worker_without_a_share_holds_no_lane_and_begins_nothing() -> None:
    for turn in (turn_of(None), turn_of(Part(1, 2))):
        assert (turn.room, turn.slots, turn.may_send) == (0, 0, False)


def test_a_worker_alone_has_everything() -> None:
    turn = turn_of(Part(0, 1), concurrency=8)
    assert (turn.concurrency, turn.may_send, turn.may_probe) == (8, True, True)


def test_a_worker_that_comes_moves_nobody_back() -> None:
    assert [Part(0, workers).of(1) for workers in range(1, 9)] == [1] * 8


def test_only_the_first_worker_tests_an_endpoint_that_is_down() -> None:
    assert [turn_of(part, 64).may_probe for part in (Part(0, 3), Part(1, 3), None)] == [True, False, False]


def test_a_new_share_of_a_rate_gives_no_second_worth_of_attempts_at_once() -> None:
    policy = EndpointPolicy(EndpointId(1), "e", rate_limit_per_s=10.0)
    turn = EndpointTurn(policy, Health(), Part(0, 1))
    turn.bucket.has_one(0)
    turn.take_part(Part(0, 2))
    assert not turn.bucket.has_one(0)
    assert turn.bucket.has_one(200)
    assert turn.bucket.wait_s == 0.0


class Nowhere:
    """A transport for tests in which nothing is sent."""

    async def send(self, request: AttemptRequest) -> Outcome:
        raise AssertionError(request)


class LateStore(MemoryStore):
    """Its answers to ``beat`` are held until the test lets them go."""

    def __init__(self) -> None:
        super().__init__(MemoryDisk(), shared=True)
        self.asked, self.answer = asyncio.Event(), asyncio.Event()

    async def beat(self, owner: str, **times: int) -> Muster:
        muster = await super().beat(owner, **times)
        self.asked.set()
        await self.answer.wait()
        return muster


@pytest.mark.parametrize("disabled", [False, True])
async def test_what_was_changed_here_while_the_store_was_asked_is_not_undone_by_its_answer(disabled: bool) -> None:
    store, clock = LateStore(), VirtualClock()
    await store.open()
    endpoint_id = (await store.register(["e"], now_ms=0))["e"].endpoint_id
    committer = Committer(store, clock, Hooks(()), owner="me", lease_ms=60_000)
    dispatcher = Dispatcher(store, Nowhere(), committer, clock, Random(1), Hooks(()), owner="me", lease_ms=60_000)
    watch = FleetWatch(store, dispatcher, clock, owner="me", delivers=True)
    dispatcher.configure([EndpointPolicy(endpoint_id, "e")], {})
    turn = dispatcher.turns[endpoint_id]
    if disabled:
        dispatcher.disable(turn, "answered 410")
    step = asyncio.ensure_future(watch.step())
    await store.asked.wait()
    if disabled:
        await dispatcher.notes.write()
    else:
        await store.set_endpoint_state(endpoint_id, EndpointState.PAUSED, reason="by hand", now_ms=0)
        dispatcher.pause(endpoint_id)
    store.answer.set()
    await step
    assert not turn.active
    await watch.step()
    assert not turn.active
    await store.set_endpoint_state(endpoint_id, EndpointState.ACTIVE, reason="", now_ms=0)
    await watch.step()
    assert turn.active
    await store.close()
