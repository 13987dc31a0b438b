"""What an inbox takes for one event: exactly what says the same, however it is written."""

from __future__ import annotations

import json

from hypothesis import assume, given
from hypothesis import strategies as st

from roombell import parse
from roombell.inbox.collapse import inbox_id

NAMES = st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=1, max_size=6).map("x_".__add__)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
INFOS = st.dictionaries(NAMES, VALUES, max_size=5)
TYPES = st.sampled_from(["egress_started", "egress_updated", "egress_ended"])


def id_of(event_type, info, *, event_id, **how):
    body = {"event": event_type, "egressInfo": info | {"egressId": "EG_1"}, "id": event_id}
    return inbox_id(parse(json.dumps(body, **how).encode()))


@given(TYPES, INFOS, st.randoms(use_true_random=False))
def test_what_says_the_same_is_one_event_however_it_is_written(event_type, info, draws):
    fields = list(info.items())
    draws.shuffle(fields)
    once = id_of(event_type, info, event_id="EV_1")
    assert once == id_of(event_type, dict(fields), event_id="EV_2", indent=2, ensure_ascii=False)
    assert len(once) < 256


@given(TYPES, INFOS, INFOS)
def test_what_says_anything_else_is_another_event(event_type, info, other):
    assume(json.dumps(info, sort_keys=True) != json.dumps(other, sort_keys=True))
    assert id_of(event_type, info, event_id="EV_1") != id_of(event_type, other, event_id="EV_1")
