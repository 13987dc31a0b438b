"""The reference of rooms and of testing is true to the code."""

from __future__ import annotations

import re

import msgspec
import pytest

from roombell.receiver import room_state, views
from roombell.receiver.room_state import AnomalyKind, Change, RoomState
from roombell.receiver.watch import RoomWatch
from roombell.testing import pytest_plugin
from roombell.testing.client import WebhookClient
from roombell.testing.factory import EventFactory, RoomStory
from roombell.testing.misbehaviours import MISBEHAVIOURS
from support.markdown import DOCS, code_of, tables

ROOMS = DOCS / "reference" / "room-state.md"
TESTING = DOCS / "reference" / "testing.md"
COMMON = {"room_name", "session", "at_s"}


def first_names(page, table: str) -> set[str]:
    """What the first column names, without arguments."""
    return {re.split(r"[(\s]", code_of(row[0])[0])[0] for row in tables(page)[table]}


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


@pytest.mark.parametrize(("page", "kind"), [(ROOMS, RoomWatch), (ROOMS, RoomState), (TESTING, EventFactory),
                                            (TESTING, RoomStory), (TESTING, WebhookClient)])  # fmt: skip
def test_every_method_is_listed(page, kind: type) -> None:
    assert first_names(page, kind.__name__) == public(kind)


def test_every_change_is_listed_with_its_fields() -> None:
    listed = {code_of(row[0])[0]: set(code_of(row[1])) for row in tables(ROOMS)["Changes"]}
    kinds = Change.__args__
    assert listed == {kind.__name__: {f.name for f in msgspec.structs.fields(kind)} - COMMON for kind in kinds}


def test_every_anomaly_is_listed() -> None:
    assert [code_of(row[0])[0] for row in tables(ROOMS)["Anomalies"]] == list(AnomalyKind)


@pytest.mark.parametrize("name", ["RoomNow", "InRoom"])
def test_every_field_of_an_answer_is_listed(name: str) -> None:
    fields = {field.name for field in msgspec.structs.fields(getattr(room_state, name))}
    assert first_names(ROOMS, name) == fields


def test_every_view_is_listed_with_its_fields_and_times() -> None:
    for row in tables(ROOMS)["Views"]:
        view = getattr(views, code_of(row[0])[0])
        assert code_of(row[1]) == [field.name for field in msgspec.structs.fields(view)], view
        assert all(isinstance(getattr(view, name), property) for name in code_of(row[2])), view
    listed = {code_of(row[0])[0] for row in tables(ROOMS)["Views"]}
    structs = {name for name in views.__all__ if isinstance(getattr(views, name), type(msgspec.Struct))}
    assert listed == structs - {"EventView"}


def test_every_name_of_the_room_state_has_its_place() -> None:
    text = ROOMS.read_text(encoding="utf-8")
    assert [
        name for name in room_state.__all__ if name not in {"Change", "AnomalyKind"} and f"`{name}" not in text
    ] == []


def test_every_fixture_is_listed() -> None:
    fixtures = {name for name, value in vars(pytest_plugin).items() if hasattr(value, "_fixture_function")}
    assert first_names(TESTING, "Fixtures") == fixtures


def test_every_misbehaviour_is_listed() -> None:
    assert {code_of(row[0])[0] for row in tables(TESTING)["Misbehaviours"]} == set(MISBEHAVIOURS)
