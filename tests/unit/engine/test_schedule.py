from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roombell.engine.health import Health
from roombell.engine.model import WHOLE, EndpointId, Part
from roombell.engine.retry import RetryPolicy
from roombell.engine.router import EndpointPolicy
from roombell.engine.schedule import LOOK_MS_MAX, look_at_ms
from roombell.engine.turns import EndpointTurn


def turn(number=1, base_delay_ms=5_000, part=WHOLE):
    retry = RetryPolicy(base_delay_ms=base_delay_ms)
    return EndpointTurn(EndpointPolicy(EndpointId(number), "app", retry=retry), Health(), part)


@given(
    number=st.integers(1, 10_000),
    base_delay_ms=st.integers(1, 10**9),
    due_at_ms=st.integers(0, 2**45),
    wait_ms=st.integers(-(10**6), 10**6),
)
def test_a_retry_is_looked_for_never_before_it_is_due_and_hardly_later(number, base_delay_ms, due_at_ms, wait_ms):
    at_ms = look_at_ms(turn(number, base_delay_ms), due_at_ms, due_at_ms - wait_ms)
    assert 0 <= at_ms - due_at_ms < max(1, min(LOOK_MS_MAX, base_delay_ms // 20))


def test_what_is_due_already_is_looked_for_at_once():
    assert look_at_ms(turn(), 1_234, 1_234) == 1_234
    assert look_at_ms(turn(), 1_000, 1_234) == 1_000


def test_retries_of_one_endpoint_that_are_due_about_the_same_time_are_looked_for_together():
    assert len({look_at_ms(turn(), due_at_ms, 0) for due_at_ms in range(10_000, 11_000)}) <= 5


@pytest.mark.parametrize("parts", [[(n, Part(0, 1)) for n in range(1, 9)], [(1, Part(rank, 8)) for rank in range(8)]])
def test_not_all_endpoints_and_not_all_workers_look_at_once(parts):
    assert len({look_at_ms(turn(number, part=part), 10_000, 0) for number, part in parts}) == 8
