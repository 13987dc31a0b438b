"""The reference of rooms is true to the code, and what it says is offered has a test that shows it."""

from __future__ import annotations

import ast
import re

import msgspec
import pytest
from livekit.protocol.egress import EgressStatus
from livekit.protocol.ingress import IngressState
from livekit.protocol.models import ParticipantInfo

from roombell.rooms import RoomSettings
from roombell.rooms.api import SERVICES
from roombell.rooms.lifecycle import EGRESS, INGRESS, PARTICIPANT, TRACK
from roombell.rooms.orders import order_in
from roombell.rooms.play.reading import _TOP as KEYS
from roombell.rooms.play.scenario import OPTIONS, REQUIRED, Trick
from roombell.rooms.play.shipped import shipped, shipped_names
from roombell.rooms.refusals import Code
from support.markdown import DOCS, ROOT, code_of, page_blocks, tables
from support.rooms import Desk, refusal

PAGE = DOCS / "reference" / "rooms.md"


def rows() -> list[list[str]]:
    return tables(PAGE)["Compared with livekit-server"]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_what_is_offered_has_a_test_that_shows_it(row: list[str]) -> None:
    what, offered, shown = row
    assert offered in ("yes", "no"), what
    if offered == "no":
        assert shown, what
        return
    (named,) = code_of(shown)
    path, _, test = named.partition("::")
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = {one.name for one in module.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert test in functions, f"{what}: there is no {named}"


def test_what_is_not_offered_is_refused_as_the_table_says() -> None:
    from livekit.protocol.room import ForwardParticipantRequest

    from roombell.rooms.api import room_service

    assert refusal(lambda: room_service._forward(None, ForwardParticipantRequest())) == Code.UNIMPLEMENTED
    assert "`ForwardParticipant`" in {row[0] for row in rows() if row[1] == "no"}
    assert not {"ExportReplay", "CreateSIPTrunk"} & {method for methods in SERVICES.values() for method in methods}
    assert Desk().rooms.listed() == ()


def test_every_method_of_the_api_is_listed() -> None:
    told = {code_of(row[0])[0]: tuple(code_of(row[1])) for row in tables(PAGE)["Server API"]}
    assert told == {service: tuple(methods) for service, methods in SERVICES.items()}


def test_the_diagrams_are_drawn_from_the_tables() -> None:
    drawn = [block.text.rstrip("\n") for block in page_blocks(PAGE) if block.language == "mermaid"]
    assert drawn == [
        PARTICIPANT.diagram(ParticipantInfo.State.Name),
        TRACK.diagram(str),
        EGRESS.diagram(lambda one: EgressStatus.Name(one).removeprefix("EGRESS_")),
        INGRESS.diagram(lambda one: IngressState.Status.Name(one).removeprefix("ENDPOINT_")),
    ]


def test_every_setting_is_listed_with_its_default() -> None:
    def shown(value: object) -> str:
        if isinstance(value, tuple):
            return ", ".join(value)
        return f"{value:,}" if type(value) is int else str(value)

    told = {code_of(row[0])[0]: row[1] for row in tables(PAGE)["Settings"]}
    assert told == {field.name: shown(field.default) for field in msgspec.structs.fields(RoomSettings)}


def scenario_tables() -> dict[str, list[list[str]]]:
    """The three tables under Scenarios, by their first column."""
    every = tables(PAGE)["Scenarios"]
    kinds = {"keys": set(KEYS), "actions": set(OPTIONS), "tricks": set(Trick)}
    return {name: [row for row in every if code_of(row[0])[0] in words] for name, words in kinds.items()}


def test_every_key_action_option_and_trick_of_a_scenario_is_listed() -> None:
    told = scenario_tables()
    assert {code_of(row[0])[0] for row in told["keys"]} == set(KEYS)
    options = {code_of(row[0])[0]: tuple(code_of(row[2])) for row in told["actions"]}
    assert options == {str(action): tuple(map(str, some)) for action, some in OPTIONS.items()}
    bold = {code_of(row[0])[0]: tuple(re.findall(r"\*\*`(\w+)`\*\*", row[2])) for row in told["actions"]}
    assert {action: some for action, some in bold.items() if some} == {
        str(action): tuple(map(str, some)) for action, some in REQUIRED.items()
    }
    assert {code_of(row[0])[0] for row in told["tricks"]} == set(Trick)


def test_every_shipped_scenario_is_listed_with_its_title() -> None:
    told = {code_of(row[0])[0]: row[1] for row in tables(PAGE)["Scenarios that come with Roombell"]}
    assert told == {name: shipped(name).title for name in shipped_names()}


def test_the_orders_are_ones_that_are_understood() -> None:
    for row in tables(PAGE)["Orders to recordings and ingresses"]:
        assert order_in(code_of(row[0])) is not None, row
