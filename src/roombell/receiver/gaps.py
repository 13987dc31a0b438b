"""Holes, repeats and new numberings in what Roombell delivers, read from ``Webhook-Lane`` and ``Webhook-Sequence``.

What the headers promise: within one lane, deliveries are numbered 1, 2, 3 … when they are accepted, and sent in that
order; a number that is left out was given up; what was given up may be redriven, and comes late then, under its old
number; a lane that was idle for long is numbered anew, under another name. Pure, and not safe for threads.
"""

from __future__ import annotations

from typing import Final

import msgspec

from roombell.events import WebhookEvent
from roombell.receiver.delivery import DeliveryInfo
from roombell.receiver.room_state import Anomaly, AnomalyKind

LANES_MAX: Final = 10_000
"""How many lanes are watched. Beyond it, the one that was quiet longest is forgotten."""
HOLES_MAX: Final = 64
"""How many holes of one lane are remembered, so that what fills one is not taken for a repeat."""


class _Lane(msgspec.Struct):
    key: str
    last: int
    last_id: str
    holes: list[tuple[int, int]] = []
    """First and last number of each, oldest first."""

    def fill(self, number: int) -> bool:
        """Takes ``number`` out of the hole that it was in; false if it was in none."""
        for place, (first, last) in enumerate(self.holes):
            if first <= number <= last:
                parts = [(first, number - 1), (number + 1, last)]
                self.holes[place : place + 1] = [part for part in parts if part[0] <= part[1]]
                return True
        return False


class LaneWatch:
    """Watches the numbers of lanes. A lane that it sees for the first time may begin with any number.

    It must see all that is delivered to the endpoint: one process, or one place that all processes share.

    :param lanes_max: how many lanes are watched.
    """

    def __init__(self, *, lanes_max: int = LANES_MAX) -> None:
        self._lanes_max = lanes_max
        self._lanes: dict[str, _Lane] = {}
        self._lane_of: dict[str, str] = {}

    def observe(self, event: WebhookEvent, delivery: DeliveryInfo) -> tuple[Anomaly, ...]:
        """What is wrong with the place of ``event`` in its lane. Nothing, where the headers do not tell one."""
        if delivery.sequence is None or not delivery.lane:
            return ()
        name, number = delivery.lane, delivery.sequence
        lane = self._lanes.pop(name, None)
        if lane is None:
            found = self._begin(event, name, number)
        else:
            found = _go_on(lane, event, name, number)
            self._lanes[name] = lane  # at the end: what is at the front was quiet longest
        return found

    def _begin(self, event: WebhookEvent, name: str, number: int) -> tuple[Anomaly, ...]:
        before = self._lane_of.get(event.ordering_key)
        self._lanes[name] = lane = _Lane(event.ordering_key, number, event.id)
        self._lane_of[event.ordering_key] = name
        while len(self._lanes) > self._lanes_max:
            quietest = next(iter(self._lanes))
            key = self._lanes.pop(quietest).key
            if self._lane_of.get(key) == quietest:  # not the lane that came after it
                del self._lane_of[key]
        if before is None:
            return ()
        renewed = _anomaly(AnomalyKind.NUMBERING_RENEWED, event, name, f"it was the lane {before} before")
        return (renewed, *_hole(lane, event, name, 1, number - 1))


def _go_on(lane: _Lane, event: WebhookEvent, name: str, number: int) -> tuple[Anomaly, ...]:
    last, last_id = lane.last, lane.last_id
    if number > last:
        lane.last, lane.last_id = number, event.id
        return _hole(lane, event, name, last + 1, number - 1)
    if lane.fill(number):
        return (_anomaly(AnomalyKind.DELIVERY_LATE, event, name, f"number {number} comes after number {last}"),)
    if number == last and event.id != last_id:
        detail = f"number {number} was {last_id} before"
        return (_anomaly(AnomalyKind.DELIVERY_MISNUMBERED, event, name, detail),)
    return (_anomaly(AnomalyKind.DELIVERY_REPEATED, event, name, f"number {number} came before"),)


def _hole(lane: _Lane, event: WebhookEvent, name: str, first: int, last: int) -> tuple[Anomaly, ...]:
    if first > last:
        return ()
    lane.holes = [*lane.holes, (first, last)][-HOLES_MAX:]
    numbers = f"number {first} is" if first == last else f"numbers {first} to {last} are"
    return (_anomaly(AnomalyKind.DELIVERY_MISSING, event, name, f"{numbers} missing before {last + 1}"),)


def _anomaly(kind: AnomalyKind, event: WebhookEvent, lane: str, detail: str) -> Anomaly:
    return Anomaly(room_name=event.room_name, at_s=event.created_at, kind=kind, subject=lane, detail=detail)
