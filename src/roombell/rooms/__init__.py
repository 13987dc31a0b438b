"""A LiveKit-compatible room server for development and tests: where room events take place.

Needs the extra ``roombell[rooms]``.
"""

from roombell.rooms.effects import Happened, Notice, Tell
from roombell.rooms.machine import Machine
from roombell.rooms.participants import Joined, Joining
from roombell.rooms.refusals import Refused
from roombell.rooms.settings import RoomSettings

__all__ = ["Happened", "Joined", "Joining", "Machine", "Notice", "Refused", "RoomSettings", "Tell"]
