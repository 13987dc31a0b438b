"""The scenarios that come with Roombell."""

from __future__ import annotations

from importlib import resources
from typing import Final

from roombell.errors import UsageError
from roombell.rooms.play.reading import parse_scenario
from roombell.rooms.play.scenario import Scenario

_FOLDER: Final = resources.files("roombell.rooms.play").joinpath("scenarios")


def shipped_names() -> tuple[str, ...]:
    """Their names, sorted."""
    return tuple(sorted(one.name.removesuffix(".yaml") for one in _FOLDER.iterdir() if one.name.endswith(".yaml")))


def shipped(name: str) -> Scenario:
    """The scenario of this name.

    :raises UsageError: there is none.
    """
    if name not in shipped_names():
        raise UsageError(f"There is no scenario {name!r}; there is: {', '.join(shipped_names())}.")
    return parse_scenario(shipped_text(name), source=f"{name}.yaml")


def shipped_text(name: str) -> str:
    """Its YAML, to begin one's own with."""
    return _FOLDER.joinpath(f"{name}.yaml").read_text(encoding="utf-8")
