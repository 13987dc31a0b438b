"""Which events a handler asks for: names and globs, checked when they are written down. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from typing import Final

from roombell.errors import UsageError
from roombell.events import EVENT_TYPES
from roombell.events.names import DERIVED_TYPES

_GLOB_SIGNS: Final = re.compile(r"[*?\[]")
_GLOBS: Final = {
    "room": "room_*",
    "participant": "participant_*",
    "track": "track_*",
    "egress": "egress_*",
    "ingress": "ingress_*",
    "agent": "agent_job_*",
    "job": "agent_job_*",
}
"""What is meant by a family's bare name."""


def compiled(patterns: Iterable[str], *, unknown: bool) -> re.Pattern[str]:
    """What matches an event type that one of the patterns names; with case, as endpoint filters do.

    :param unknown: names that this version does not know are meant as they are written.
    :raises UsageError: no pattern; or one that fits no event that is known, with what was probably meant.
    """
    patterns = tuple(patterns)
    if not patterns:
        raise UsageError('`on` needs the events to call the handler for, as in `@receiver.on("participant_joined")`.')
    for pattern in patterns:
        _check(pattern, unknown=unknown)
    return re.compile("|".join(translate(pattern) for pattern in patterns))


def _check(pattern: object, *, unknown: bool) -> None:
    if callable(pattern):
        raise UsageError(
            '`on` takes the names of events before it takes the handler: write `@receiver.on("participant_joined")`.'
        )
    if not isinstance(pattern, str):
        raise UsageError(f"`on` takes the names of events as text; {type(pattern).__name__} was given.")
    matches = re.compile(translate(pattern)).match
    if unknown or any(matches(name) for name in (*EVENT_TYPES, *DERIVED_TYPES)):
        return
    what = "The pattern" if _GLOB_SIGNS.search(pattern) else "The event"
    raise UsageError(
        f"{what} {pattern[:80]!r} fits no event that LiveKit is known to send{_suggestion(pattern)}. If this is a "
        "newer server's, say so: `on(…, unknown=True)`."
    )


def _suggestion(pattern: str) -> str:
    from difflib import get_close_matches

    plain = re.sub(r"[-. ]", "_", pattern.strip().lower())
    if plain in _GLOBS:
        return f" (did you mean {_GLOBS[plain]!r}?)"
    near = get_close_matches(plain, [*EVENT_TYPES, *_GLOBS.values()], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
