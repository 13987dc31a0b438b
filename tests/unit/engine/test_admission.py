from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roombell.engine.admission import AdmissionControl, AdmissionLimits, Load

LIMITS = AdmissionLimits(waiting_max=10, waiting_bytes_max=1000, behind_max=100)


def admitted(control, offered):
    return sum(control.refuse(0, 0) is None for _ in range(offered))


def test_what_waits_for_a_commit_is_bounded_in_number_and_bytes():
    control = AdmissionControl(LIMITS)
    assert control.refuse(9, 999) is None
    assert "10 events" in control.refuse(10, 0)
    assert "1000 bytes" in control.refuse(0, 1000)


def test_a_backlog_alone_limits_nothing():
    control = AdmissionControl(LIMITS)
    control.observe(Load(busy=0.5, behind=10**6))
    assert admitted(control, 5000) == 5000


def test_saturation_alone_limits_nothing():
    control = AdmissionControl(LIMITS)
    control.observe(Load(busy=1.0, behind=100))
    assert admitted(control, 5000) == 5000


def test_under_both_acceptance_falls_window_by_window_and_never_stops():
    control = AdmissionControl(LIMITS)
    taken = [admitted(control, 1000)]
    for _ in range(60):
        control.observe(Load(busy=1.0, behind=101))
        taken.append(admitted(control, 1000))
    assert taken[:4] == [1000, 800, 640, 512]
    assert taken[-1] == 8
    assert control.throttled


def test_when_it_is_over_acceptance_rises_until_nothing_is_limited():
    control = AdmissionControl(LIMITS)
    for _ in range(30):
        admitted(control, 1000)
        control.observe(Load(busy=1.0, behind=101))
    windows = 0
    while control.throttled:
        admitted(control, 100)
        control.observe(Load(busy=0.5, behind=101))
        windows += 1
    assert windows < 40


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 10**6), st.integers(0, 500)), max_size=50))
def test_something_always_comes_in(windows):
    control = AdmissionControl(LIMITS)
    for busy, behind, offered in windows:
        assert admitted(control, offered) >= min(offered, 6)
        control.observe(Load(busy=busy, behind=behind))
