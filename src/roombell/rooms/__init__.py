"""A LiveKit-compatible room server for development and tests: where room events take place.

Needs the extra ``roombell[rooms]``. Names are loaded when they are first used: pytest loads the plugin in this package
wherever the package is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roombell.rooms.effects import Happened, Notice, Tell
    from roombell.rooms.machine import Machine
    from roombell.rooms.participants import Joined, Joining
    from roombell.rooms.refusals import Refused
    from roombell.rooms.settings import RoomSettings

_HOMES = {
    "Happened": "effects",
    "Joined": "participants",
    "Joining": "participants",
    "Machine": "machine",
    "Notice": "effects",
    "Refused": "refusals",
    "RoomSettings": "settings",
    "Tell": "effects",
}

__all__ = ["Happened", "Joined", "Joining", "Machine", "Notice", "Refused", "RoomSettings", "Tell"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'roombell.rooms' has no attribute {name!r}")
    return getattr(import_module(f"roombell.rooms.{home}"), name)
