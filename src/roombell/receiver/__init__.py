"""The other end: verifies, decodes and handles webhooks inside the user's own web application."""

from roombell.receiver.answers import Answer
from roombell.receiver.delivery import DeliveryInfo
from roombell.receiver.families import EgressEvent, IngressEvent, JobEvent, ParticipantEvent, RoomEvent, TrackEvent
from roombell.receiver.ports import InThread, Listener, Sink
from roombell.receiver.receiver import OnFailure, Receiver

__all__ = [
    "Answer",
    "DeliveryInfo",
    "EgressEvent",
    "InThread",
    "IngressEvent",
    "JobEvent",
    "Listener",
    "OnFailure",
    "ParticipantEvent",
    "Receiver",
    "RoomEvent",
    "Sink",
    "TrackEvent",
]
