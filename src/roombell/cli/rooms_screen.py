"""What ``roombell rooms`` and ``roombell rooms play`` show: each event, and what became of its deliveries."""

from __future__ import annotations

import time

import msgspec

from roombell.cli.output import Output, Part, counted
from roombell.engine.hooks import AttemptFinished, DeliveryDead, Record
from roombell.events import WebhookEvent


class EventRecord(msgspec.Struct, frozen=True, tag="event", tag_field="record"):
    """``--json``: an event took place."""

    at_ms: int
    event: str
    id: str
    room: str
    participant: str
    participant_sid: str
    track_sid: str
    egress_id: str
    ingress_id: str


class DeliveryRecord(msgspec.Struct, frozen=True, tag="delivery", tag_field="record"):
    """``--json``: an attempt to deliver an event ended."""

    event: str
    id: str
    endpoint: str
    outcome: str
    """``delivered``, ``retry``, ``dead`` or ``disable``."""
    status: int
    attempt: int


class SummaryRecord(msgspec.Struct, frozen=True, tag="summary", tag_field="record"):
    """``--json``: how it ended."""

    events: int
    delivered: int
    failed: int


class Screen:
    """Shows events and deliveries, and counts them."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.events = 0
        self.delivered = 0
        self.failed = 0
        """Deliveries that were given up."""

    def event(self, event: WebhookEvent, at_ms: int) -> None:
        """One event took place."""
        self.events += 1
        about: list[Part] = [(_clock(at_ms), "dim"), f"{event.type:<30}  {event.room_name}"]
        who = event.participant_identity or event.egress_id or event.ingress_id
        about += [f"  {who}"] if who else []
        about += [(f"  {event.track_sid}", "dim")] if event.track_sid else []
        self.output.line(*about)
        self.output.record(
            EventRecord(
                at_ms=at_ms,
                event=event.type,
                id=event.id,
                room=event.room_name,
                participant=event.participant_identity,
                participant_sid=event.participant_sid,
                track_sid=event.track_sid,
                egress_id=event.egress_id,
                ingress_id=event.ingress_id,
            )
        )

    def observe(self, record: Record) -> None:
        """A notifier's record. Deliveries that go well show in JSON only."""
        match record:
            case AttemptFinished():
                self._attempt(record)
            case DeliveryDead():
                self.failed += 1
            case _:
                pass

    def end(self) -> None:
        """How it went."""
        told = counted(self.events, "event")
        if self.delivered or self.failed:
            told += f", {self.delivered:,} delivered, {self.failed:,} given up"
        self.output.note(f"{told}.")
        self.output.record(SummaryRecord(events=self.events, delivered=self.delivered, failed=self.failed))

    def _attempt(self, record: AttemptFinished) -> None:
        delivery, attempt = record.delivery, record.attempt
        if record.decision == "delivered":
            self.delivered += 1
        else:
            why = attempt.detail or attempt.outcome
            self.output.note(("  not delivered ", "yellow"), f"{delivery.event_type} to {record.endpoint}: {why}")
        self.output.record(
            DeliveryRecord(
                event=delivery.event_type,
                id=delivery.event_id,
                endpoint=record.endpoint,
                outcome=record.decision,
                status=attempt.status,
                attempt=attempt.number,
            )
        )


def _clock(at_ms: int) -> str:
    seconds, rest_ms = divmod(at_ms, 1000)
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest_ms:03d}  "
