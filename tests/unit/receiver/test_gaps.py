"""What the numbers of Roombell's deliveries say."""

from __future__ import annotations

from roombell.events import WebhookEvent
from roombell.receiver import DeliveryInfo
from roombell.receiver.gaps import HOLES_MAX, LaneWatch
from roombell.receiver.room_state import AnomalyKind
from roombell.testing.factory import EventFactory

FACTORY = EventFactory()


def event(room: str = "demo") -> WebhookEvent:
    return FACTORY.event("room_started", room=room)


def seen(watch: LaneWatch, number: int, *, lane: str = "store/1", of: WebhookEvent | None = None) -> list:
    anomalies = watch.observe(of or event(), DeliveryInfo(lane=lane, sequence=number))
    return [(anomaly.kind, anomaly.detail) for anomaly in anomalies]


def kinds(watch: LaneWatch, *numbers: int, lane: str = "store/1") -> list[AnomalyKind]:
    return [kind for number in numbers for kind, _ in seen(watch, number, lane=lane)]


def test_numbers_without_a_hole_say_nothing() -> None:
    assert kinds(LaneWatch(), 1, 2, 3, 4) == []


def test_a_receiver_that_starts_later_begins_with_any_number() -> None:
    assert kinds(LaneWatch(), 57, 58) == []


def test_a_hole_is_told_of_with_what_is_missing() -> None:
    watch = LaneWatch()
    assert kinds(watch, 1) == []
    assert seen(watch, 3) == [(AnomalyKind.DELIVERY_MISSING, "number 2 is missing before 3")]
    assert seen(watch, 7) == [(AnomalyKind.DELIVERY_MISSING, "numbers 4 to 6 are missing before 7")]


def test_what_fills_a_hole_was_redriven_and_once_more_is_a_repeat() -> None:
    watch = LaneWatch()
    assert kinds(watch, 1, 5) == [AnomalyKind.DELIVERY_MISSING]
    assert kinds(watch, 3, 2, 4) == [AnomalyKind.DELIVERY_LATE] * 3
    assert kinds(watch, 3, 6) == [AnomalyKind.DELIVERY_REPEATED]


def test_the_same_event_again_is_a_repeat_and_another_one_under_its_number_is_wrong() -> None:
    watch, first = LaneWatch(), event()
    seen(watch, 1, of=first)
    assert [kind for kind, _ in seen(watch, 1, of=first)] == [AnomalyKind.DELIVERY_REPEATED]
    assert [kind for kind, _ in seen(watch, 1)] == [AnomalyKind.DELIVERY_MISNUMBERED]


def test_a_new_lane_of_the_same_key_is_a_new_numbering_that_begins_with_one() -> None:
    watch = LaneWatch()
    assert kinds(watch, 57) == []
    assert kinds(watch, 1, 2, lane="store/2") == [AnomalyKind.NUMBERING_RENEWED]
    assert kinds(watch, 2, lane="store/3") == [AnomalyKind.NUMBERING_RENEWED, AnomalyKind.DELIVERY_MISSING]


def test_lanes_do_not_mix() -> None:
    watch = LaneWatch()
    for number in (1, 2, 3):
        for lane in ("a", "b"):
            assert seen(watch, number, lane=lane, of=event(lane)) == []


def test_without_headers_nothing_is_said() -> None:
    watch = LaneWatch()
    for _ in range(3):
        assert watch.observe(event(), DeliveryInfo()) == ()


def test_a_new_numbering_is_told_of_though_the_lane_before_the_last_is_forgotten() -> None:
    watch = LaneWatch(lanes_max=2)
    for lane in ("first", "second"):
        seen(watch, 1, lane=lane)
    seen(watch, 1, lane="other", of=event("other"))  # "first" is forgotten
    told = seen(watch, 1, lane="third")
    assert told == [(AnomalyKind.NUMBERING_RENEWED, "it was the lane second before")]


def test_lanes_and_holes_are_bounded() -> None:
    watch = LaneWatch(lanes_max=3)
    for number in range(10):
        seen(watch, 1, lane=f"lane {number}", of=event(f"room {number}"))
    assert (len(watch._lanes), len(watch._lane_of)) == (3, 3)
    for number in range(1, 2 * HOLES_MAX + 20, 2):
        seen(watch, number, lane="lane 9", of=event("room 9"))
    assert len(watch._lanes["lane 9"].holes) == HOLES_MAX
