"""Which endpoint wants which event. Pure.

Patterns are shell globs (``*``, ``?``, ``[…]``) matched with case. As in LiveKit's ``filter_params``, ``include``
wins: with an include list an event must match it, and ``exclude`` counts only where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate

import msgspec

from roombell.engine.model import EndpointId, OnDead
from roombell.engine.retry import RetryPolicy

_CACHE_TYPES_MAX = 1024


class EventFilter(msgspec.Struct, frozen=True):
    """What an endpoint wants: event types, and rooms by name. Empty means all.

    An event that names no room passes no ``rooms`` filter: who asks for certain rooms gets those alone.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()


class EndpointPolicy(msgspec.Struct, frozen=True):
    """What the engine needs to know of an endpoint; where and how it is reached is the transport's."""

    endpoint_id: EndpointId
    name: str
    filter: EventFilter = EventFilter()
    concurrency: int = 64
    retry: RetryPolicy = RetryPolicy()
    on_dead: OnDead = OnDead.SKIP
    rate_limit_per_s: float | None = None
    """Attempts begun per second at most; None: as many as it can take."""
    adaptive: bool = True
    """Whether the limit on attempts in flight follows what the endpoint shows it can bear, up to ``concurrency``; else
    ``concurrency`` is the limit."""
    internal: bool = False
    """Gets only what is submitted for it by its id, and nothing by the router."""


class Router:
    """Answers which endpoints want an event, in the order in which they were given."""

    def __init__(self, endpoints: Iterable[EndpointPolicy]) -> None:
        self._by_type: dict[str, tuple[tuple[EndpointId, re.Pattern[str] | None], ...]] = {}
        self._endpoints = tuple(
            (endpoint.endpoint_id, _TypeFilter(endpoint.filter), _any_of(endpoint.filter.rooms))
            for endpoint in endpoints
        )

    def route(self, event_type: str, room_name: str) -> tuple[EndpointId, ...]:
        """The endpoints that want an event of this type in this room (empty: it names none)."""
        wanting = self._by_type.get(event_type)
        if wanting is None:
            wanting = tuple((id_, rooms) for id_, types, rooms in self._endpoints if types.wants(event_type))
            if len(self._by_type) < _CACHE_TYPES_MAX:  # types come from the wire: a stranger must not fill memory
                self._by_type[event_type] = wanting
        return tuple([id_ for id_, rooms in wanting if rooms is None or (room_name and rooms.match(room_name))])


class _TypeFilter:
    def __init__(self, filter_: EventFilter) -> None:
        self._include = _any_of(filter_.include)
        self._exclude = _any_of(filter_.exclude)

    def wants(self, event_type: str) -> bool:
        if self._include is not None:
            return self._include.match(event_type) is not None
        return self._exclude is None or self._exclude.match(event_type) is None


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(translate(pattern) for pattern in patterns)
    return re.compile(joined) if joined else None
