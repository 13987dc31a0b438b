"""Ingresses. One that is reusable is used again under its id, so a use is known by when it began."""

from __future__ import annotations

from roombell.errors import EventError
from roombell.receiver.room_state.changes import IngressEnded, IngressStarted
from roombell.receiver.room_state.model import IngressRecord
from roombell.receiver.room_state.turn import Turn
from roombell.receiver.views import Ingress
from roombell.receiver.views.reading import without_secrets


def started(turn: Turn) -> None:
    """``ingress_started``. Of a use that is older than the known one it is late."""
    facts = _ingress(turn)
    known = turn.record.ingresses.get(facts.ingress_id)
    if known is not None and facts.started_ns <= known.facts.started_ns:
        return
    turn.record.ingresses[facts.ingress_id] = IngressRecord(facts, turn.at, live=True)
    turn.emit(IngressStarted(turn.record.name, _session(turn), turn.at, ingress=facts))


def ended(turn: Turn) -> None:
    """``ingress_ended``."""
    facts = _ingress(turn)
    known = turn.record.ingresses.get(facts.ingress_id)
    if known is not None:
        older = 0 < facts.started_ns < known.facts.started_ns
        repeated = not known.live and facts.started_ns <= known.facts.started_ns
        if older or repeated:
            return
    turn.record.ingresses[facts.ingress_id] = IngressRecord(facts, turn.at)
    turn.emit(IngressEnded(turn.record.name, _session(turn), turn.at, ingress=facts))


def _session(turn: Turn) -> str:
    session = turn.record.newest(turn.room.sid)
    return session.id if session is not None else ""


def _ingress(turn: Turn) -> Ingress:
    facts = turn.told.ingress
    if facts is None or not facts.ingress_id:
        raise EventError(f"A {turn.told.event.type} event names an ingress with an id; this one does not.")
    return without_secrets(facts)
