"""Which events count as one: tables of what LiveKit is known to send."""

from __future__ import annotations

import contextlib
import json

import pytest

from roombell import EventError, parse
from roombell.events import EVENT_TYPES
from roombell.inbox.collapse import Collapse, inbox_id
from roombell.testing.payloads import sample
from support.inbox import changed

EGRESS = [str(rule) for rule in Collapse]
PREMATURE = {"status": "EGRESS_COMPLETE", "startedAt": "1789411342000000000", "endedAt": "1789411343000000000"}
REAL = {"status": "EGRESS_COMPLETE", "startedAt": "1789411350000000000", "endedAt": "1789414950000000000"}


def same(one, other) -> bool:
    return inbox_id(one) == inbox_id(other)


@pytest.mark.parametrize("event_type", EGRESS)
def test_what_a_worker_repeats_is_one_event_though_its_id_and_time_of_sending_differ(event_type):
    body = json.loads(sample(event_type, id="EV_1"))
    repeated = body | {"id": "EV_2", "createdAt": str(int(body["createdAt"]) + 40)}
    assert same(parse(json.dumps(body).encode()), parse(json.dumps(repeated).encode()))


def test_neither_white_space_nor_the_order_of_fields_makes_another_event():
    body = json.loads(sample("egress_updated", id="EV_1"))
    shuffled = {"id": "EV_2", "egressInfo": dict(reversed(body["egressInfo"].items())), "event": body["event"]}
    assert same(parse(json.dumps(body).encode()), parse(json.dumps(shuffled, indent=3).encode()))


def test_an_end_that_is_reported_again_later_is_no_other_end():
    assert same(changed("egress_ended", id="EV_1", updatedAt="1"), changed("egress_ended", id="EV_2", updatedAt="2"))


def test_an_update_of_another_moment_is_another_update():
    """Between two that say the same there may have been one that said something else."""
    first, second = (changed("egress_updated", id="EV_1", updatedAt=at) for at in ("1", "2"))
    assert not same(first, second)


def test_the_real_end_after_a_premature_one_is_kept_whichever_comes_first():
    """community.livekit.io/t/1339"""
    premature, real = (changed("egress_ended", id=f"EV_{n}", **told) for n, told in enumerate((PREMATURE, REAL)))
    late_repeat = changed("egress_ended", id="EV_9", updatedAt="9", **PREMATURE)
    assert not same(premature, real)
    assert same(premature, late_repeat)


@pytest.mark.parametrize(
    "more",
    [
        {"status": "EGRESS_FAILED"},
        {"error": "the disk is full"},
        {"fileResults": [{"filename": "other.mp4"}]},
        {"details": "end reason: source closed"},
        {"endedAt": None},
    ],
)
def test_an_end_that_says_anything_else_is_kept(more):
    assert not same(changed("egress_ended", id="EV_1"), changed("egress_ended", id="EV_2", **more))


def test_the_same_said_of_two_egresses_is_two_events():
    one, other = (changed("egress_updated", id="EV_1", egressId=id_) for id_ in ("EG_1", "EG_2"))
    assert not same(one, other)


def test_the_same_said_as_start_and_as_update_is_two_events():
    started = json.loads(sample("egress_started", id="EV_1"))
    assert not same(
        parse(json.dumps(started).encode()), parse(json.dumps(started | {"event": "egress_updated"}).encode())
    )


def test_a_failed_launch_that_has_no_egress_id_is_known_by_its_own_id():
    assert inbox_id(changed("egress_ended", id="EV_1", egressId=None, status="EGRESS_FAILED")) == "EV_1"


def test_the_proto_s_own_names_are_read_too():
    one, other = (
        b'{"event":"egress_ended","id":"EV_%d","egress_info":{"egress_id":"EG_1","updated_at":"%d"}}' % (n, n)
        for n in (1, 2)
    )
    assert same(parse(one), parse(other))


@pytest.mark.parametrize("event_type", sorted(set(EVENT_TYPES) - set(EGRESS)))
def test_every_other_event_is_known_by_its_own_id(event_type):
    assert inbox_id(parse(sample(event_type, id="EV_1"))) == "EV_1"


@pytest.mark.parametrize("event_type", EGRESS)
def test_a_rule_that_is_off_leaves_an_event_its_own_id(event_type):
    event = parse(sample(event_type, id="EV_1"))
    assert inbox_id(event, frozenset()) == "EV_1"
    assert inbox_id(event, frozenset(Collapse) - {event_type}) == "EV_1"
    assert inbox_id(event, frozenset({Collapse(event_type)})).startswith(f"{event_type}/{event.egress_id}/")


def test_an_id_stays_within_the_store_s_bound_whatever_the_egress_id():
    assert len(inbox_id(changed("egress_updated", id="EV_1", egressId="E" * 10_000))) < 256


@pytest.mark.parametrize("value", ["[" * 600 + "]" * 600, "1" + "0" * 400, "-0.0", '"\\ud800"', "1e400"])
def test_strange_values_are_no_reason_to_fail(value):
    raw = b'{"event":"egress_updated","id":"EV_1","egressInfo":{"egressId":"EG_1","strange":%b}}' % value.encode()
    with contextlib.suppress(EventError):  # what is not taken at all needs no id
        assert inbox_id(parse(raw))
