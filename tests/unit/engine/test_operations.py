"""What operators are told, and how often."""

from __future__ import annotations

import asyncio
import json

import pytest

from roombell.engine.announcer import DEAD_EVERY_S, OUTBOX_MAX, WATCH_EVERY_S, Announcer, Watch
from roombell.engine.hooks import (
    BacklogGrowing,
    DeliveryDead,
    EndpointDisabled,
    EndpointFailing,
    EndpointRecovered,
    EventRefused,
    Hooks,
)
from roombell.engine.model import EndpointId, EndpointState, EndpointStatus
from roombell.engine.operations import EXAMPLES_MAX, BacklogWatch, operation_of
from roombell.errors import StoreError
from roombell.testing.virtual_time import VirtualClock, run


def status(name, pending, state=EndpointState.ACTIVE, oldest_at_ms=1_000):
    return EndpointStatus(EndpointId(1), name, state, "", 0, pending, 0, oldest_at_ms if pending else None)


@pytest.mark.parametrize(
    ("record", "type_", "data"),
    [
        (EndpointFailing("app", "refused"), "endpoint.failing", {"reason": "refused"}),
        (EndpointDisabled("app", "410"), "endpoint.disabled", {"reason": "410"}),
        (EndpointRecovered("app", 90_000), "endpoint.recovered", {"down_ms": 90_000}),
        (BacklogGrowing("app", 2_000, 5), "backlog.growing", {"pending": 2_000, "oldest_ms": 5}),
        (
            DeliveryDead("app", "EV_1", "room_started", "expired", 3),
            "delivery.dead",
            {"reason": "expired", "count": 1, "event_ids": ["EV_1"]},
        ),
    ],
)
def test_five_kinds_of_records_are_for_operators(record, type_, data):
    operation = operation_of(record)
    assert (operation.type, operation.endpoint, operation.data) == (type_, "app", data)
    assert operation_of(EventRefused("overloaded")) is None


def test_a_backlog_is_told_of_each_time_it_has_doubled():
    watch = BacklogWatch()
    told = []
    for pending in (10, 999, 1_000, 1_500, 1_999, 2_000, 3_999, 4_000, 40_000, 41_000):
        told += [one.pending for one in watch.observe([status("app", pending)], now_ms=61_000)]
    assert told == [1_000, 2_000, 4_000, 40_000]


def test_a_backlog_that_has_fallen_by_half_is_told_of_anew():
    watch = BacklogWatch()
    told = []
    for pending in (4_000, 2_000, 4_000, 1_999, 1_200, 300, 1_000):
        told += [one.pending for one in watch.observe([status("app", pending)], now_ms=0)]
    assert told == [4_000, 1_200, 1_000]


def test_a_backlog_tells_its_age_and_endpoints_are_told_apart():
    watch = BacklogWatch()
    statuses = [status("a", 5_000), status("b", 50), status("c", 9_000, EndpointState.REMOVED)]
    statuses.append(status("d", 1_000, EndpointState.PAUSED))
    assert watch.observe(statuses, now_ms=61_000) == [
        BacklogGrowing("a", 5_000, 60_000),
        BacklogGrowing("d", 1_000, 60_000),
    ]


class Sink:
    """Takes operational events, or fails as told."""

    def __init__(self):
        self.bodies, self.keys, self.failing, self.tried = [], [], False, 0

    def submit(self, event_id, event_type, ordering_key, body):
        self.tried += 1
        future = asyncio.get_running_loop().create_future()
        if self.failing:
            future.set_exception(StoreError("The store refused."))
            return future
        told = json.loads(body)
        assert (told["id"], told["event"]) == (event_id, event_type)
        self.bodies.append(told)
        self.keys.append(ordering_key)
        future.set_result(None)
        return future


def announcing(test):
    async def main():
        sink, ids = Sink(), iter(range(1_000_000))
        announcer = Announcer(VirtualClock(), sink.submit, internal="@operations", new_id=lambda: f"EV_{next(ids)}")
        announcer.start()
        await test(announcer, sink)
        await announcer.stop()

    run(main())


def test_an_operational_event_has_the_envelope_of_livekit_s_webhooks():
    async def test(announcer, sink):
        announcer.observe(EndpointFailing("app", "connection refused"))
        await asyncio.sleep(1)
        (body,) = sink.bodies
        assert body == {
            "event": "endpoint.failing",
            "id": "EV_0",
            "createdAt": "1790000000",
            "data": {"endpoint": "app", "reason": "connection refused"},
        }
        assert sink.keys == ["app"]

    announcing(test)


def test_of_the_operators_own_endpoint_nothing_is_announced():
    async def test(announcer, sink):
        for record in (
            EndpointFailing("@operations", "refused"),
            EndpointRecovered("@operations", 1),
            EndpointDisabled("@operations", "410"),
            DeliveryDead("@operations", "EV_1", "endpoint.failing", "expired", 1),
            BacklogGrowing("@operations", 9_999, 1),
        ):
            announcer.observe(record)
        await asyncio.sleep(1_000)
        assert sink.tried == 0

    announcing(test)


def test_deliveries_that_die_together_make_few_events():
    async def test(announcer, sink):
        for number in range(10_000):
            announcer.observe(DeliveryDead("app", f"EV_{number}", "t", "expired", 1))
        announcer.observe(DeliveryDead("app", "EV_x", "t", "attempts exhausted", 8))
        announcer.observe(DeliveryDead("other", "EV_y", "t", "expired", 1))
        await asyncio.sleep(1)
        told = [(body["data"]["endpoint"], body["data"]["reason"], body["data"]["count"]) for body in sink.bodies]
        assert told == [("app", "expired", 1), ("app", "attempts exhausted", 1), ("other", "expired", 1)]
        await asyncio.sleep(DEAD_EVERY_S)
        (more,) = sink.bodies[3:]
        assert more["data"]["count"] == 9_999
        assert more["data"]["event_ids"] == [f"EV_{number}" for number in range(1, EXAMPLES_MAX + 1)]
        await asyncio.sleep(3 * DEAD_EVERY_S)
        announcer.observe(DeliveryDead("app", "EV_later", "t", "expired", 1))
        await asyncio.sleep(1)
        assert sink.bodies[-1]["data"]["event_ids"] == ["EV_later"]
        assert len(sink.bodies) == 5

    announcing(test)


def test_what_cannot_be_written_now_is_written_later_in_order():
    async def test(announcer, sink):
        sink.failing = True
        announcer.observe(EndpointFailing("app", "refused"))
        announcer.observe(EndpointRecovered("app", 1))
        await asyncio.sleep(30)
        assert sink.tried > 1
        sink.failing = False
        await asyncio.sleep(30)
        assert [(body["event"], body["id"]) for body in sink.bodies] == [
            ("endpoint.failing", "EV_0"),
            ("endpoint.recovered", "EV_1"),
        ]

    announcing(test)


def test_what_waits_is_bounded_and_the_log_tells_what_was_dropped(caplog):
    async def test(announcer, sink):
        sink.failing = True
        for number in range(OUTBOX_MAX + 2):
            announcer.observe(EndpointFailing(f"app-{number}", "refused"))
        sink.failing = False
        await asyncio.sleep(30)
        assert len(sink.bodies) == OUTBOX_MAX
        assert sink.bodies[0]["data"]["endpoint"] == "app-2"
        assert caplog.text.count("is dropped") == 2

    announcing(test)


def test_what_was_counted_is_told_when_it_stops():
    async def main():
        sink = Sink()
        announcer = Announcer(VirtualClock(), sink.submit, internal="@operations", new_id=lambda: "EV_1")
        announcer.start()
        for number in range(3):
            announcer.observe(DeliveryDead("app", f"EV_{number}", "t", "expired", 1))
        await announcer.stop()
        assert sum(body["data"]["count"] for body in sink.bodies) == 3

    run(main())


def test_the_watch_tells_the_hooks_and_leaves_the_operators_endpoint_out():
    class Store:
        pending = 500

        async def endpoints(self):
            return (status("app", self.pending), status("@operations", 9_999))

    async def main():
        heard, store = [], Store()
        watch = Watch(store, VirtualClock(), Hooks([heard.append]), internal="@operations")
        watch.start()
        await asyncio.sleep(WATCH_EVERY_S * 2)
        assert heard == []
        store.pending = 1_500
        await asyncio.sleep(WATCH_EVERY_S * 2)
        await watch.stop()
        assert [(one.endpoint, one.pending) for one in heard] == [("app", 1_500)]

    run(main())
