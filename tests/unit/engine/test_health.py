from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roombell.engine import health as h
from roombell.engine.answers import Evidence, rule_of
from roombell.engine.health import Attempt, Condition, Health, after, decode, encode, slots
from roombell.engine.model import Answered, Failed, FailureKind, LaneId


def evidence(outcome):
    return rule_of(outcome).evidence


NOW = 1_800_000_000_000


def attempt(shown, *, lane=1, latency_ms=10, in_flight=16, probe=False):
    return Attempt(shown, LaneId(lane), latency_ms, in_flight, probe)


def run_through(health, *attempts, limit_max=64, step_ms=100):
    for number, one in enumerate(attempts):
        health = after(health, one, limit_max=limit_max, now_ms=NOW + number * step_ms, draw=0.5)
    return health


@pytest.mark.parametrize(
    ("statuses", "shown"),
    [
        (range(200, 300), Evidence.UP),
        (range(300, 400), Evidence.UP),
        ([400, 401, 403, 404, 409, 410, 413, 422, 451], Evidence.UP),
        ([408, 425, 429], Evidence.BUSY),
        ([500, 501, 505, 520, 599], Evidence.FALTERING),
        ([502, 503, 504], Evidence.DOWN),
    ],
)
def test_what_a_status_says_of_the_endpoint(statuses, shown):
    assert {evidence(Answered(status, 1)) for status in statuses} == {shown}


@pytest.mark.parametrize("kind", FailureKind)
def test_every_failure_says_something_of_the_endpoint(kind):
    nobodys = {FailureKind.CONFIGURATION}
    no_events = {"dns", "refused", "unreachable", "tls", "timeout_connect", "blocked", "proxy"}
    shown = evidence(Failed(kind, "broken", 1))
    if kind in nobodys:
        assert shown is Evidence.NOTHING
    else:
        assert shown is (Evidence.DOWN if kind.value in no_events else Evidence.FALTERING)


def test_failures_no_event_can_be_blamed_for_open_the_breaker_even_in_one_lane():
    two = run_through(Health(), *[attempt(Evidence.DOWN)] * 2)
    assert not two.is_open
    assert run_through(two, attempt(Evidence.DOWN)).is_open


def test_one_event_that_makes_the_endpoint_fail_never_opens_the_breaker():
    assert not run_through(Health(), *[attempt(Evidence.FALTERING, lane=7)] * 100).is_open


def test_failures_of_several_lanes_open_the_breaker():
    failures = [attempt(Evidence.FALTERING, lane=n % 2) for n in range(5)]
    assert not run_through(Health(), *failures[:4]).is_open
    assert run_through(Health(), *failures).is_open


@pytest.mark.parametrize("sign_of_life", [Evidence.UP, Evidence.BUSY])
def test_a_sign_of_life_in_between_begins_the_count_anew(sign_of_life):
    failures = [attempt(Evidence.DOWN, lane=n) for n in range(2)]
    assert not run_through(Health(), *failures, attempt(sign_of_life), *failures).is_open


def test_a_fault_on_our_side_says_nothing():
    assert run_through(Health(), *[attempt(Evidence.NOTHING, lane=n) for n in range(50)]) == Health()


def opened():
    return run_through(Health(limit=32.0, usual_ms=20.0), *[attempt(Evidence.DOWN)] * 3)


def test_probes_come_ever_more_seldom_and_at_least_once_a_minute():
    health, waits = opened(), []
    for n in range(12):
        now_ms = NOW + n * 1000
        health = after(health, attempt(Evidence.DOWN, probe=True), limit_max=64, now_ms=now_ms, draw=0.0)
        waits.append(health.probe_at_ms - now_ms)
    assert waits == [2000, 4000, 8000, 16_000, 32_000, *[60_000] * 7]
    assert health.probes == 12


def test_what_was_still_in_flight_when_the_breaker_opened_moves_no_probe():
    health = opened()
    assert run_through(health, *[attempt(Evidence.DOWN, lane=n) for n in range(9)]) == health


@pytest.mark.parametrize("sign_of_life", [Evidence.UP, Evidence.BUSY])
def test_any_sign_of_life_closes_the_breaker_and_sending_begins_with_one(sign_of_life):
    health = run_through(opened(), attempt(sign_of_life, probe=True))
    assert health.condition is Condition.CLOSED
    assert slots(health, 64) == 1
    assert health.growing
    assert health.failures == 0


def test_a_probe_that_fails_by_our_own_fault_waits_too():
    assert run_through(opened(), attempt(Evidence.NOTHING, probe=True)).probe_at_ms > opened().probe_at_ms


def test_the_limit_doubles_each_round_trip_while_answers_are_as_fast_as_usual():
    health = Health(limit=1.0, usual_ms=10.0)
    after_trips = []
    for _ in range(5):
        trip = slots(health, 64)
        health = run_through(health, *[attempt(Evidence.UP, in_flight=trip)] * trip)
        after_trips.append(slots(health, 64))
    assert after_trips == [2, 4, 8, 16, 32]


def test_the_limit_never_rises_above_the_endpoints_concurrency():
    assert slots(run_through(Health(), *[attempt(Evidence.UP)] * 1000, limit_max=20), 20) == 20


def test_a_limit_that_is_not_used_does_not_rise():
    assert run_through(Health(), *[attempt(Evidence.UP, in_flight=1)] * 100).limit == h.LIMIT_AT_START


def test_answers_much_slower_than_usual_lower_the_limit_step_by_step_and_not_below_one():
    health = Health(limit=64.0, usual_ms=10.0)
    slower = run_through(health, *[attempt(Evidence.UP, latency_ms=500)] * 3)
    assert pytest.approx(slower.limit, rel=0.01) == 64 * 0.8**3
    assert not slower.growing
    assert slots(run_through(health, *[attempt(Evidence.BUSY)] * 500), 64) == 1


def test_all_answers_of_one_round_trip_cut_the_limit_once():
    health = Health(limit=64.0, usual_ms=50.0)
    assert run_through(health, *[attempt(Evidence.BUSY)] * 10, step_ms=1).limit == 32.0


def test_health_survives_being_kept_and_rubbish_does_no_harm():
    health = opened()
    assert decode(encode(health)) == health
    for rubbish in (b"", b"{", b"[]", b'{"condition":"odd"}', b"\xff"):
        assert decode(rubbish) == Health()


outcomes = st.builds(
    attempt, st.sampled_from(Evidence), lane=st.integers(1, 4), latency_ms=st.integers(0, 10**5), probe=st.booleans()
)


@given(st.lists(outcomes, max_size=200), st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_whatever_happens_the_limits_hold(attempts, limit_max, draw):
    health = Health()
    for number, one in enumerate(attempts):
        before, now_ms = health, NOW + number * 7
        health = after(before, one, limit_max=limit_max, now_ms=now_ms, draw=draw)
        assert 1 <= slots(health, limit_max) <= limit_max
        assert len(health.lanes) <= h.LANES_TO_OPEN
        if health.is_open and health != before:
            assert now_ms < health.probe_at_ms <= now_ms + h.PROBE_DELAY_MS_MAX
        if one.evidence is Evidence.UP:
            assert not health.is_open
