from __future__ import annotations

import pytest

from roombell.engine.model import EndpointId
from roombell.engine.router import EndpointPolicy, EventFilter, Router


def router(**filters):
    return Router(
        [EndpointPolicy(EndpointId(n), name, filter_) for n, (name, filter_) in enumerate(filters.items(), 1)]
    )


@pytest.mark.parametrize(
    ("filter_", "event_type", "room", "wanted"),
    [
        (EventFilter(), "room_started", "", True),
        (EventFilter(), "anything_new", "r", True),
        (EventFilter(include=("room_*",)), "room_started", "r", True),
        (EventFilter(include=("room_*",)), "track_published", "r", False),
        (EventFilter(include=("room_*", "egress_ended")), "egress_ended", "", True),
        (EventFilter(exclude=("track_*",)), "track_published", "r", False),
        (EventFilter(exclude=("track_*",)), "room_started", "r", True),
        (EventFilter(include=("room_*",), exclude=("room_started",)), "room_started", "r", True),
        (EventFilter(rooms=("acme-*",)), "room_started", "acme-1", True),
        (EventFilter(rooms=("acme-*",)), "room_started", "other", False),
        (EventFilter(rooms=("acme-*",)), "room_started", "Acme-1", False),
        (EventFilter(rooms=("acme-*",)), "egress_ended", "", False),
        (EventFilter(rooms=("a", "b")), "egress_ended", "b", True),
        (EventFilter(rooms=("*",)), "egress_ended", "multi\nline", True),
        (EventFilter(include=("egress_?nded",)), "egress_ended", "", True),
        (EventFilter(include=("room_started",)), "room_started_again", "", False),
    ],
)
def test_a_filter_takes_what_it_says(filter_, event_type, room, wanted):
    assert router(one=filter_).route(event_type, room) == ((EndpointId(1),) if wanted else ())


def test_the_endpoints_come_in_the_order_given():
    assert router(b=EventFilter(), a=EventFilter(include=("x",)), c=EventFilter()).route("y", "") == (1, 3)


def test_strange_event_types_do_not_fill_memory():
    one = router(a=EventFilter())
    for n in range(5000):
        one.route(f"type_{n}", "")
    assert len(one._by_type) <= 1024
