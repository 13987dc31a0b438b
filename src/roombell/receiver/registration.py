"""How handlers are registered: the decorators, and what type checkers are told of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeVar, overload

from roombell.events import WebhookEvent
from roombell.receiver.delivery import DeliveryInfo
from roombell.receiver.families import EgressEvent, IngressEvent, JobEvent, ParticipantEvent, RoomEvent, TrackEvent
from roombell.receiver.handlers import HandlerFunction, Handlers
from roombell.receiver.patterns import compiled

E = TypeVar("E", bound=WebhookEvent)
H = TypeVar("H", bound=HandlerFunction)
R = TypeVar("R")

RoomName = Literal["room_started", "room_finished", "room_*"]
ParticipantName = Literal["participant_joined", "participant_left", "participant_connection_aborted", "participant_*"]
TrackName = Literal["track_published", "track_unpublished", "track_*"]
EgressName = Literal["egress_started", "egress_updated", "egress_ended", "egress_*"]
IngressName = Literal["ingress_started", "ingress_ended", "ingress_*"]
JobName = Literal["agent_job_pending", "agent_job_started", "agent_job_ended", "agent_job_*", "agent_*"]


class Decorator(Protocol[E]):
    """Registers a function that takes an event, or an event and its delivery, and returns it unchanged."""

    @overload
    def __call__(self, handler: Callable[[E], R], /) -> Callable[[E], R]: ...

    @overload
    def __call__(self, handler: Callable[[E, DeliveryInfo], R], /) -> Callable[[E, DeliveryInfo], R]: ...


class Registration:
    """What a receiver offers to register handlers with."""

    handlers: Handlers

    @overload
    def on(self, *patterns: RoomName) -> Decorator[RoomEvent]: ...
    @overload
    def on(self, *patterns: TrackName) -> Decorator[TrackEvent]: ...
    @overload
    def on(self, *patterns: ParticipantName | TrackName) -> Decorator[ParticipantEvent]: ...
    @overload
    def on(self, *patterns: EgressName) -> Decorator[EgressEvent]: ...
    @overload
    def on(self, *patterns: IngressName) -> Decorator[IngressEvent]: ...
    @overload
    def on(self, *patterns: JobName) -> Decorator[JobEvent]: ...
    @overload
    def on(self, *patterns: str, unknown: bool = False) -> Decorator[WebhookEvent]: ...

    def on(self, *patterns: str, unknown: bool = False) -> object:
        """Registers the decorated function for events, by their names or by globs (``"egress_*"``, ``"*"`` for all).

        It is called with the event, or with the event and its ``DeliveryInfo`` if it takes two arguments. Events come
        as those of their family: ``EgressEvent`` has ``recording``, ``ParticipantEvent`` has ``participant``, and so
        on. It may be a plain function, which then runs in a thread, or a coroutine function. Several for one event are
        called one after the other, in the order in which they were registered.

        :param unknown: the names are of events that this version of Roombell does not know.
        :raises UsageError: a pattern that fits no known event, without ``unknown``; a function that does not take one
            or two arguments.
        """
        types = compiled(patterns, unknown=unknown)

        def register(handler: H) -> H:
            self.handlers.add(handler, types)
            return handler

        return register

    def otherwise(self, handler: H) -> H:
        """Registers the decorated function for every event that no ``on`` asked for, those of newer servers included.

        :raises UsageError: a function that does not take one or two arguments.
        """
        self.handlers.add_otherwise(handler)
        return handler
