from __future__ import annotations

import itertools

import pytest

from roombell.engine.model import DeliveryState
from roombell.engine.transitions import TRANSITIONS, IllegalTransition, Verb, advance, diagram

ALLOWED = {
    ("pending", "deliver"): "delivered",
    ("pending", "retry"): "pending",
    ("pending", "abandon"): "dead",
    ("pending", "cancel"): "cancelled",
    ("dead", "redrive"): "pending",
    ("cancelled", "redrive"): "pending",
    ("delivered", "replay"): "pending",
}


@pytest.mark.parametrize(("state", "verb"), [*itertools.product(DeliveryState, Verb)])
def test_what_the_table_holds_happens_and_all_else_is_refused(state, verb):
    expected = ALLOWED.get((state.value, verb.value))
    if expected is None:
        with pytest.raises(IllegalTransition) as refused:
            advance(state, verb)
        assert (refused.value.state, refused.value.verb) == (state, verb)
    else:
        assert advance(state, verb) == expected


def test_the_diagram_shows_every_transition_and_no_other():
    drawn = [line.strip() for line in diagram().splitlines()[2:]]
    assert drawn == [f"{before} --> {after}: {verb}" for (before, verb), after in TRANSITIONS.items()]
