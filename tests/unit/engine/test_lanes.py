from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from roombell.engine.answers import Evidence
from roombell.engine.health import Attempt, Health, after
from roombell.engine.lanes import HEADS_MAX, HeldLanes, HeldLimits
from roombell.engine.model import Delivery, EndpointId, Generation, LaneId, Sequence
from roombell.engine.router import EndpointPolicy
from roombell.engine.turns import LANES_MIN, EndpointTurn, Lane, LaneState


def turn(number=1, concurrency=2):
    return EndpointTurn(EndpointPolicy(EndpointId(number), f"endpoint-{number}", concurrency=concurrency), Health())


def delivery(lane_id=1, sequence=1, body=b"12345"):
    return Delivery(LaneId(lane_id), Sequence(sequence), "EV", "x", 0, 0, body)


def lane_of(one_turn, lane_id=1):
    return Lane(LaneId(lane_id), Generation(1), "key", one_turn, 1000)


def held(**limits):
    return HeldLanes(HeldLimits(**limits))


def ready_lane(lanes, one_turn, lane_id):
    lane = lane_of(one_turn, lane_id)
    lanes.add(lane)
    lanes.append(lane, delivery(lane_id))
    lanes.ready(lane)
    return lane


def test_turns_go_round_the_endpoints_and_not_round_the_backlog():
    lanes, crowded, quiet = held(), turn(1, concurrency=100), turn(2, concurrency=100)
    for lane_id in range(1, 51):
        ready_lane(lanes, crowded, lane_id)
    ready_lane(lanes, quiet, 100)
    ready_lane(lanes, quiet, 101)
    order = [lanes.next(0).turn.endpoint_id for _ in range(5)]
    assert order == [1, 2, 1, 2, 1]


def with_backlog(lanes, number, usual_ms, **policy):
    one = EndpointTurn(
        EndpointPolicy(EndpointId(number), "x", concurrency=2, **policy), Health(limit=2.0, usual_ms=usual_ms)
    )
    for lane_id in range(number * 1000, number * 1000 + 100):
        ready_lane(lanes, one, lane_id)
    one.starved = 900
    return one


def test_what_a_slow_endpoint_cannot_take_does_not_make_us_late():
    lanes = held()
    assert with_backlog(lanes, 1, usual_ms=1.0).behind == 1000
    assert with_backlog(lanes, 2, usual_ms=2_000.0).behind == 10
    assert with_backlog(lanes, 3, usual_ms=1.0, rate_limit_per_s=5.0).behind == 50
    assert with_backlog(lanes, 4, usual_ms=0.0).behind == 0, "it has never answered"


def test_a_busy_process_that_makes_answers_look_slow_is_still_late():
    one = with_backlog(held(), 1, usual_ms=1.0)
    for n in range(50):
        slow = Attempt(Evidence.UP, LaneId(1), latency_ms=90, in_flight=2, probe=False)
        one.health = after(one.health, slow, limit_max=2, now_ms=n * 1000, draw=0.0)
    assert one.health.limit == 1.0
    assert one.behind == 1000


def test_what_is_under_way_or_settled_is_not_behind():
    lanes, one = held(), turn(concurrency=2)
    one.health = Health(usual_ms=1.0)
    for lane_id in range(1, 6):
        ready_lane(lanes, one, lane_id)
    under_way = lanes.next(0)
    assert one.behind == 4
    lanes.pop(under_way)
    lanes.landed(one)
    lanes.drop(under_way)
    assert one.behind == 4
    one.active = False
    assert one.behind == 0


def test_an_endpoint_never_has_more_in_flight_than_its_concurrency():
    lanes, one = held(), turn(concurrency=2)
    for lane_id in range(1, 6):
        ready_lane(lanes, one, lane_id)
    assert [lanes.next(0) is not None for _ in range(3)] == [True, True, False]
    lanes.landed(one)
    assert lanes.next(0) is not None
    assert lanes.next(0) is None


def test_all_endpoints_together_stay_within_the_bound_on_attempts():
    lanes = held(in_flight_max=3)
    turns = [turn(n, concurrency=5) for n in range(1, 6)]
    for n, one in enumerate(turns):
        ready_lane(lanes, one, n + 1)
    assert sum(lanes.next(0) is not None for _ in range(5)) == 3


def test_a_delivery_that_does_not_come_next_stays_in_the_store():
    lanes, one = held(), turn()
    lane = lane_of(one)
    lanes.add(lane)
    assert lanes.append(lane, delivery(sequence=5))
    assert not lanes.append(lane, delivery(sequence=7))
    assert lanes.append(lane, delivery(sequence=6))


def test_a_lane_holds_a_bounded_head_of_its_backlog():
    lanes, lane = held(), lane_of(turn())
    lanes.add(lane)
    assert [lanes.append(lane, delivery(sequence=n)) for n in range(1, HEADS_MAX + 2)] == [True] * HEADS_MAX + [False]


def test_past_the_bounds_a_lane_still_holds_its_oldest_delivery():
    lanes, one = held(deliveries_max=1, body_bytes_max=1), turn()
    for lane_id in (1, 2):
        lane = lane_of(one, lane_id)
        lanes.add(lane)
        assert lanes.append(lane, delivery(lane_id, 1))
        assert not lanes.append(lane, delivery(lane_id, 2))
    assert lanes.full


def test_a_dropped_lane_is_never_anybodys_turn():
    lanes, one = held(), turn()
    lanes.drop(ready_lane(lanes, one, 1))
    assert lanes.next(0) is None
    assert (lanes.deliveries, lanes.body_bytes, one.lanes, len(lanes)) == (0, 0, 0, 0)


def test_an_endpoint_may_hold_a_number_of_lanes_that_its_concurrency_gives():
    assert turn(concurrency=1).room == LANES_MIN
    assert turn(concurrency=100).room == 800


class Held(RuleBasedStateMachine):
    """Whatever is done, the sums are those of what is held, and no bound is passed."""

    def __init__(self):
        super().__init__()
        self.lanes = held(deliveries_max=30, body_bytes_max=200, in_flight_max=4)
        self.turns = [turn(n, concurrency=2) for n in (1, 2, 3)]
        self.by_id = {}
        self.flying = []
        self.next_id = 0

    def pick(self, number):
        alive = [lane for lane in self.by_id.values() if lane.state is not LaneState.DROPPED]
        return alive[number % len(alive)] if alive else None

    @rule(n=st.integers(0, 2), body=st.binary(min_size=1, max_size=40))
    def lease(self, n, body):
        self.next_id += 1
        lane = lane_of(self.turns[n], self.next_id)
        self.by_id[self.next_id] = lane
        self.lanes.add(lane)
        self.lanes.append(lane, delivery(self.next_id, 1, body))
        self.lanes.ready(lane)

    @rule(n=st.integers(0, 100), body=st.binary(min_size=1, max_size=40))
    def append(self, n, body):
        lane = self.pick(n)
        if lane is not None:
            self.lanes.append(lane, delivery(lane.lane_id, lane.last_sequence + 1, body))

    @rule()
    def start(self):
        lane = self.lanes.next(0)
        if lane is not None:
            assert lane.heads
            self.flying.append(lane)

    @rule(n=st.integers(0, 100))
    def land(self, n):
        if self.flying:
            lane = self.flying.pop(n % len(self.flying))
            self.lanes.landed(lane.turn)
            if lane.state is not LaneState.DROPPED:
                self.lanes.pop(lane)
                if lane.heads:
                    self.lanes.ready(lane)
                else:
                    self.lanes.drop(lane)

    @rule(n=st.integers(0, 100))
    def drop(self, n):
        lane = self.pick(n)
        if lane is not None:
            self.lanes.drop(lane)

    @invariant()
    def sums_are_true(self):
        alive = [lane for lane in self.by_id.values() if lane.state is not LaneState.DROPPED]
        assert self.lanes.deliveries == sum(len(lane.heads) for lane in alive)
        assert self.lanes.body_bytes == sum(len(d.body) for lane in alive for d in lane.heads)
        assert self.lanes.in_flight == len(self.flying) <= 4
        for one in self.turns:
            assert one.lanes == sum(lane.turn is one for lane in alive)
            assert one.in_flight == sum(lane.turn is one for lane in self.flying) <= 2


TestHeld = Held.TestCase
TestHeld.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
