"""The reference is true to the code."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from importlib import metadata
from pathlib import Path

import msgspec
import pytest

import roombell
import roombell.receiver
from roombell import Notifier
from roombell.engine import answers
from roombell.engine.model import FailureKind
from roombell.engine.retry import RetryPolicy, backoff_ms
from roombell.engine.transitions import TRANSITIONS, diagram
from roombell.errors import BodyBrokenOff, RoombellError
from roombell.inbox import HandlerSettings
from roombell.service.dev import DELIVERIES_PATH, ENDPOINT_PATH, TABLE_PATH
from roombell.service.dev_live import LIVE_PATH
from roombell.service.dev_rooms import STATIC, TOKEN_PATH
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.payloads import sample
from roombell.transport import USER_AGENT
from support.markdown import DOCS, code_of, page_blocks, tables

REFERENCE = DOCS / "reference"
PYTHON = REFERENCE / "python.md"
DELIVERY = REFERENCE / "delivery.md"
ERRORS = REFERENCE / "errors.md"
HTTP = REFERENCE / "http.md"
LIMITS = REFERENCE / "limits.md"


def error_classes() -> dict[str, type[RoombellError]]:
    """The whole tree, wherever in the package a branch of it stands."""
    for module in pkgutil.walk_packages(roombell.__path__, "roombell."):
        if "__main__" not in module.name:
            importlib.import_module(module.name)
    found, waiting = {}, [RoombellError]
    while waiting:
        error = waiting.pop()
        waiting += error.__subclasses__()
        if error.__module__.startswith("roombell.") and not error.__name__.startswith("_"):
            found[error.__name__] = error
    return found


# errors.md


def test_every_error_is_listed_with_its_code_and_status() -> None:
    listed = {}
    for rows in tables(ERRORS).values():
        for name, code, status, *_ in rows:
            listed[code_of(name)[0]] = (code_of(code)[0], int(status))
    assert listed == {name: (error.code, error.status) for name, error in error_classes().items()}


def test_every_error_is_listed_with_a_meaning_and_a_mend() -> None:
    rows = [row for rows in tables(ERRORS).values() for row in rows]
    assert [row for row in rows if len(row) != 5 or not all(row)] == []


# delivery.md


def test_the_diagram_of_states_is_drawn_from_the_table() -> None:
    assert [block.text for block in page_blocks(DELIVERY) if block.language == "mermaid"] == [diagram() + "\n"]


def test_every_transition_is_explained() -> None:
    told = {(code_of(row[0])[0], code_of(row[1])[0], code_of(row[2])[0]) for row in tables(DELIVERY)["States"]}
    assert told == {(before, verb, after) for (before, verb), after in TRANSITIONS.items()}


def test_the_table_of_decisions_is_the_one_in_the_code() -> None:
    assert answers.table() in DELIVERY.read_text()


def test_every_failure_is_explained() -> None:
    assert sorted(code_of(row[0])[0] for row in tables(DELIVERY)["Failures"]) == sorted(FailureKind)


def test_the_table_of_delays_is_what_the_policy_gives() -> None:
    policy = RetryPolicy()
    rows = tables(DELIVERY)["When it is tried again"]
    told = [int(row[1].removesuffix(" s").replace(",", "")) * 1000 for row in rows]
    assert told == [backoff_ms(policy, attempts, 0.0) for attempts in range(1, policy.attempts)]


# python.md


def test_every_public_name_has_its_place() -> None:
    text = PYTHON.read_text(encoding="utf-8")
    assert [name for name in roombell.__all__ if f"`{name}" not in text and f"`roombell.{name}" not in text] == []


@pytest.mark.parametrize("name", ["Notifier", "Receiver", "Inbox", "EndpointSettings", "EventFilter", "RetryPolicy"])
def test_every_argument_is_listed_with_its_default(name: str) -> None:
    parameters = inspect.signature(getattr(roombell, name)).parameters.values()
    listed = {code_of(row[0])[0]: row[1] for row in tables(PYTHON)[name]}
    assert set(listed) == {parameter.name for parameter in parameters}
    required = {parameter.name for parameter in parameters if parameter.default is parameter.empty}
    assert {name for name, default in listed.items() if default == "required"} == required
    numbers = {one.name: f"{one.default:,}" for one in parameters if type(one.default) is int and one.default < 1 << 20}
    assert {name: listed[name] for name in numbers} == numbers


@pytest.mark.parametrize("name", ["Receipt", "WebhookEvent", "EndpointStatus", "EventAccepted", "AttemptFinished",
                                  "DeliveryDead", "EndpointDisabled", "EndpointFailing", "EndpointRecovered",
                                  "BacklogGrowing", "Selection", "Progress", "DeliveryInfo"])  # fmt: skip
def test_every_field_of_a_record_is_listed(name: str) -> None:
    record = getattr(roombell, name, None) or getattr(roombell.receiver, name)
    fields = {field.name for field in msgspec.structs.fields(record)}
    assert {code_of(row[0])[0] for row in tables(PYTHON)[name]} == fields


def test_every_method_of_the_notifier_is_listed() -> None:
    methods = {name for name in vars(Notifier) if not name.startswith("_")}
    assert {re.split(r"[(\s]", code_of(row[0])[0])[0] for row in tables(PYTHON)["Methods"]} == methods


def test_every_method_of_a_receiver_is_listed() -> None:
    methods = {name for kind in roombell.Receiver.__mro__ for name in vars(kind) if not name.startswith("_")}
    listed = {re.split(r"[(\s]", code_of(row[0])[0])[0] for row in tables(PYTHON)["Methods of receivers"]}
    assert listed == methods - {"handlers", "body_bytes_max"}


def test_every_adapter_of_a_framework_is_listed_with_its_names() -> None:
    for row in tables(PYTHON)["Frameworks"]:
        module = importlib.import_module(f"roombell.receiver.{code_of(row[0])[0]}")
        assert {re.split(r"[(\s]", word)[0] for word in code_of(row[1])} == set(module.__all__), module


def test_the_frameworks_are_tested_in_the_versions_that_the_guide_says() -> None:
    text = " ".join((DOCS / "how-to" / "receive.md").read_text(encoding="utf-8").split())
    told = re.search(r"Tested with (.+?)\. Each", text)
    assert told is not None
    versions = dict(re.findall(r"(\w+) (\d+\.\d+)", told[1]))
    assert len(versions) == 7
    assert versions == {name: ".".join(metadata.version(name).split(".")[:2]) for name in versions}


def test_every_method_of_the_inbox_is_listed() -> None:
    methods = {name for name in vars(roombell.Inbox) if not name.startswith("_")}
    assert {re.split(r"[(\s]", code_of(row[0])[0])[0] for row in tables(PYTHON)["Methods of inboxes"]} == methods


def test_every_setting_of_a_handler_is_listed_with_its_default() -> None:
    fields = {field.name: field.default for field in msgspec.structs.fields(HandlerSettings)}
    listed = {code_of(row[0])[0]: row[1] for row in tables(PYTHON)["HandlerSettings"]}
    assert listed.keys() == fields.keys()
    assert (float(listed["timeout_s"]), int(listed["concurrency"])) == (fields["timeout_s"], fields["concurrency"])


def test_every_method_of_the_event_builder_is_listed() -> None:
    methods = {name for name in vars(roombell.EventBuilder) if not name.startswith("_")}
    told = {re.split(r"[(\s]", word)[0] for row in tables(PYTHON)["EventBuilder"] for word in code_of(row[0])}
    assert told == methods


# http.md

REFUSAL = re.compile(r"(?:refuse|error_response)\(\s*(\d{3}), \"(\w+)\"|return (\d{3}), \"(\w+)\"")


def refusals_in_code() -> set[tuple[int, str]]:
    """Every status with its code that the HTTP server gives by itself."""
    found = set()
    for path in (Path(roombell.__file__).parent / "service").glob("*.py"):
        for one in REFUSAL.findall(path.read_text(encoding="utf-8")):
            status, code = [part for part in one if part]
            found.add((int(status), code))
    return found


def test_every_answer_of_the_server_is_listed() -> None:
    rows = [row for name in ("Answers", "Answers of the server") for row in tables(HTTP)[name]]
    told = {(int(row[0]), code) for row in rows for code in code_of(row[1])}
    errors = {
        error for error in error_classes().values() if error.__module__.startswith(("roombell.errors", "roombell.sig"))
    }
    codes = {error.code: error.status for error in errors}
    ours = {(status, code) for status, code in told if codes.get(code) == status}
    assert told - ours <= refusals_in_code()
    assert refusals_in_code() <= told


def test_every_error_that_ingest_can_meet_is_listed() -> None:
    told = {code for row in tables(HTTP)["Answers"] for code in code_of(row[1])}
    can_meet = {
        error.code
        for error in error_classes().values()
        if error.status in (400, 401, 413, 503)
        and error.__module__.startswith(("roombell.errors", "roombell.signing"))
        and not error.__subclasses__()
        and error is not BodyBrokenOff  # the frameworks'; our own server has nobody to answer then
    }
    assert can_meet <= told


async def test_the_headers_that_an_endpoint_gets_are_the_ones_listed(tmp_path: Path) -> None:
    async with ScriptedEndpoint() as endpoint:
        store = f"sqlite:///{tmp_path}/roombell.db"
        async with Notifier(keys={"APIabc": "secret"}, urls=[endpoint.url], store=store) as notifier:
            await notifier.notify(sample("room_started"))
            await notifier.drain(timeout_s=30)
        (request,) = endpoint.requests
    told = {code_of(row[0])[0] for row in tables(HTTP)["Headers"]}
    assert {name for name, _ in request.headers} == told
    assert request.header("User-Agent") == USER_AGENT


def test_the_paths_that_are_listed_are_served() -> None:
    told = {code_of(row[0])[0] for row in tables(HTTP)["Paths"]}
    source = inspect.getsource(importlib.import_module("roombell.service.app"))
    served = set(re.findall(r"router\.add\(\"([^\"]+)\"", source))
    dev = {ENDPOINT_PATH, DELIVERIES_PATH, TABLE_PATH, LIVE_PATH, TOKEN_PATH, *STATIC}
    assert {path.split()[-1] for path in told} == served | dev


# limits.md

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "B": 1, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def value_of(cell: str, name: str) -> float:
    """What a default says, in the unit that the name ends in."""
    number, _, unit = cell.replace(",", "").partition(" ")
    value = float(number) * UNITS.get(unit, 1)
    return value / 1000 if name.removesuffix("_MAX").endswith(("_s", "_S")) and unit else value


def test_every_limit_is_listed_as_it_is() -> None:
    for home, rows in tables(LIMITS).items():
        if not home.startswith("roombell."):
            continue
        for cell, default, *_ in rows:
            name = code_of(cell)[0]
            actual = actual_of(home, name)
            assert value_of(default, name) == pytest.approx(actual), (home, name)


def actual_of(home: str, name: str) -> float:
    """The value of a constant or of a settings' field."""
    module, _, struct = home.rpartition(".")
    if struct[0].isupper():
        cls = getattr(importlib.import_module(module), struct)
        fields = {field.name: field for field in msgspec.structs.fields(cls)}
        return float(fields[name].default)
    return float(getattr(importlib.import_module(home), name))


NO_BOUNDS = {"port", "dev", "recordings_hinted", "delivers"}
SET_BY_THE_OPERATOR = {
    "roombell.service.limits.HttpLimits": {"body_bytes_max", "head_bytes_max", "connections_max"},
    "roombell.engine.lanes.HeldLimits": {"deliveries_max", "body_bytes_max"},
}
"""Fields that get their values from the settings, where they are listed."""


def test_no_field_of_the_limits_is_left_out() -> None:
    for home, rows in tables(LIMITS).items():
        module, _, struct = home.rpartition(".")
        if module.startswith("roombell.") and struct[0].isupper():
            fields = msgspec.structs.fields(getattr(importlib.import_module(module), struct))
            numbers = {field.name for field in fields if isinstance(field.default, int | float)}
            listed = {code_of(row[0])[0] for row in rows}
            assert listed == numbers - NO_BOUNDS - SET_BY_THE_OPERATOR.get(home, set()), home
