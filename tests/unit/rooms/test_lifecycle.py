"""Each table, move by move: what is in it leads where it says, and what is not raises."""

from __future__ import annotations

from itertools import product

import pytest
from livekit.protocol.egress import EgressStatus
from livekit.protocol.ingress import IngressState
from livekit.protocol.models import ParticipantInfo

from roombell.rooms.lifecycle import (
    EGRESS,
    EGRESS_OVER,
    INGRESS,
    PARTICIPANT,
    TRACK,
    EgressMove,
    IllegalMove,
    IngressMove,
    ParticipantMove,
    TrackMove,
    TrackState,
)

CYCLES = {
    "participant": (PARTICIPANT, ParticipantInfo.State.values(), ParticipantMove),
    "track": (TRACK, tuple(TrackState), TrackMove),
    "recording": (EGRESS, EgressStatus.values(), EgressMove),
    "ingress": (INGRESS, IngressState.Status.values(), IngressMove),
}


@pytest.mark.parametrize("name", CYCLES)
def test_every_move_that_is_not_in_the_table_raises(name: str) -> None:
    cycle, states, moves = CYCLES[name]
    for state, move in product(states, moves):
        if cycle.allows(state, move):
            assert cycle.after(state, move) in states
        else:
            with pytest.raises(IllegalMove, match=f"{name} in state"):
                cycle.after(state, move)


@pytest.mark.parametrize("name", CYCLES)
def test_every_state_is_reached_and_every_move_used(name: str) -> None:
    cycle, states, moves = CYCLES[name]
    assert {move for _, move in cycle.table} == set(moves)
    assert {state for state, _ in cycle.table} | set(cycle.table.values()) == set(states)


def test_what_is_over_stays_over() -> None:
    assert not {state for state, _ in EGRESS.table} & set(EGRESS_OVER)
    assert not {state for state, _ in PARTICIPANT.table} & {ParticipantInfo.DISCONNECTED}
    assert not {state for state, _ in TRACK.table} & {TrackState.GONE}
    assert not {state for state, _ in INGRESS.table} & {IngressState.ENDPOINT_COMPLETE}
