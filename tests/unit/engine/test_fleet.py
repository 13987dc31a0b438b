"""A worker's share of an endpoint's limits. What follows from it in time is the simulation's."""

from hypothesis import given
from hypothesis import strategies as st

from roombell.engine.health import Health
from roombell.engine.model import EndpointId, Part
from roombell.engine.router import EndpointPolicy
from roombell.engine.turns import EndpointTurn


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
