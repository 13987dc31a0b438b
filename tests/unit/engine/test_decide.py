from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roombell.engine.decide import (
    ATTEMPTS_EXHAUSTED,
    EXPIRED,
    GONE,
    Dead,
    Delivered,
    Disable,
    Retry,
    decide,
    is_expired,
)
from roombell.engine.model import Answered, Delivery, Failed, FailureKind, LaneId, Sequence
from roombell.engine.retry import RetryPolicy, backoff_ms, retry_after_ms

NOW = 1_800_000_000_000
POLICY = RetryPolicy()


def delivery(attempts=0, accepted_at_ms=NOW):
    return Delivery(LaneId(1), Sequence(1), "EV_1", "room_started", accepted_at_ms, attempts, b"{}", attempts)


@pytest.mark.parametrize("status", range(200, 300))
def test_every_2xx_is_delivered(status):
    assert decide(delivery(7), Answered(status, 1), POLICY, now_ms=NOW, draw=0.5) == Delivered()


@pytest.mark.parametrize("status", [s for s in range(100, 600) if s not in range(200, 300) and s != 410])
def test_every_other_answer_is_retried_and_in_the_end_dead(status):
    first = decide(delivery(), Answered(status, 1), POLICY, now_ms=NOW, draw=0.25)
    assert first == Retry(NOW + 3750)
    last = decide(delivery(POLICY.attempts - 1), Answered(status, 1), POLICY, now_ms=NOW, draw=0.25)
    assert last == Dead(ATTEMPTS_EXHAUSTED)


@pytest.mark.parametrize("kind", FailureKind)
def test_every_failure_is_retried_and_in_the_end_dead(kind):
    failed = Failed(kind, "broken", 1)
    assert isinstance(decide(delivery(), failed, POLICY, now_ms=NOW, draw=0.0), Retry)
    assert decide(delivery(7), failed, POLICY, now_ms=NOW, draw=0.0) == Dead(ATTEMPTS_EXHAUSTED)


def test_410_disables_the_endpoint_even_at_the_last_attempt():
    assert decide(delivery(7), Answered(410, 1), POLICY, now_ms=NOW, draw=0.0) == Disable(GONE)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "least_ms", "most_ms"),
    [
        ("0", 1, 5_000),
        ("60", 60_001, 65_000),
        ("86400", 300_000, 300_000),
        ("1000000000000", 300_000, 300_000),
        ("9" * 18, 300_000, 300_000),
        ("9" * 256, 300_000, 300_000),
        ("0" * 250 + "60", 60_001, 65_000),
        ("-1", 1, 5_000),
        ("garbage", 1, 5_000),
        ("", 1, 5_000),
        ("1.5", 1, 5_000),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1, 5_000),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60_001, 65_000),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300_000, 300_000),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 1, 5_000),
    ],
)
def test_retry_after_is_obeyed_within_the_policys_bounds(status, header, least_ms, most_ms):
    for draw in (0.0, 0.5, 0.999999):
        answer = Answered(status, 1, retry_after=header)
        decision = decide(delivery(), answer, POLICY, now_ms=NOW, draw=draw)
        assert isinstance(decision, Retry)
        assert least_ms <= decision.due_at_ms - NOW <= most_ms


def test_retry_after_means_nothing_on_other_statuses():
    answer = Answered(500, 1, retry_after="200")
    assert decide(delivery(), answer, POLICY, now_ms=NOW, draw=0.0) == Retry(NOW + 5000)


def test_a_retry_after_date_is_read_against_the_peers_own_clock():
    date, later = "Thu, 01 Jan 2015 00:00:00 GMT", "Thu, 01 Jan 2015 00:02:00 GMT"
    assert retry_after_ms(later, date, NOW) == 120_000


def test_what_would_be_due_past_the_greatest_age_is_dead():
    old = delivery(1, accepted_at_ms=NOW - POLICY.max_age_ms + 1)
    assert decide(old, Answered(500, 1), POLICY, now_ms=NOW, draw=0.0) == Dead(EXPIRED)


def test_a_delivery_is_expired_from_its_greatest_age_on():
    assert not is_expired(delivery(), POLICY, now_ms=NOW + POLICY.max_age_ms - 1)
    assert is_expired(delivery(), POLICY, now_ms=NOW + POLICY.max_age_ms)


def test_the_default_caps_grow_threefold_to_five_minutes():
    assert [backoff_ms(POLICY, n, 0.0) for n in range(1, 8)] == [
        5000,
        15_000,
        45_000,
        135_000,
        300_000,
        300_000,
        300_000,
    ]


policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 1000),
    base_delay_ms=st.integers(1, 10**9),
    max_delay_ms=st.integers(1, 10**9),
    max_age_ms=st.integers(1, 10**12),
)


@given(policies, st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_never_below_a_millisecond_nor_above_the_policys_greatest(policy, attempts, draw):
    assert 1 <= backoff_ms(policy, attempts, draw) <= policy.max_delay_ms


@given(policies, st.integers(0, 1000), st.text(max_size=40), st.text(max_size=40), st.floats(0, 1, exclude_max=True))
def test_no_header_makes_a_retry_come_in_the_past_or_after_the_greatest_delay(policy, attempts, header, date, draw):
    answer = Answered(503, 1, retry_after=header, date=date)
    decision = decide(delivery(attempts), answer, policy, now_ms=NOW, draw=draw)
    if isinstance(decision, Retry):
        assert NOW < decision.due_at_ms <= NOW + policy.max_delay_ms


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=200, max_size=200))
def test_jitter_uses_the_whole_range(draws):
    for draw in draws:
        assert abs(backoff_ms(POLICY, 1, draw) - 5000 * (1 - draw)) <= 1


@pytest.mark.parametrize("status", [301, 404, 422, 500, 503])
def test_an_endpoint_may_ask_to_be_disabled_or_to_give_one_delivery_up(status):
    def asking(control):
        return decide(delivery(), Answered(status, 1, control=control), POLICY, now_ms=NOW, draw=0.0)

    assert asking("disable") == Disable("the endpoint asked for it (webhook-delivery: disable)")
    assert asking("abort-message") == Dead("aborted by the endpoint")
    assert isinstance(asking("something else"), Retry)


def test_what_was_taken_is_delivered_whatever_else_the_answer_asks():
    assert decide(delivery(), Answered(200, 1, control="abort-message"), POLICY, now_ms=NOW, draw=0.0) == Delivered()


def test_a_probe_that_is_not_counted_never_gives_a_delivery_up_but_by_age():
    worn = delivery(POLICY.attempts - 1)
    assert isinstance(decide(worn, Answered(500, 1), POLICY, now_ms=NOW, draw=0.0, counted=False), Retry)
    old = delivery(1, accepted_at_ms=NOW - POLICY.max_age_ms + 1)
    assert decide(old, Answered(500, 1), POLICY, now_ms=NOW, draw=0.0, counted=False) == Dead(EXPIRED)
