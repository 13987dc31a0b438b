"""From a YAML text to a ``Scenario``. Each error names the file, the line and the key."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

from livekit.protocol import models

from roombell.config.document import Section, Value, nearest, read_document
from roombell.config.keys import read_text
from roombell.errors import ConfigError
from roombell.events import EVENT_TYPES
from roombell.rooms.play.scenario import OPTIONS, REQUIRED, Action, Misbehaviour, Option, Scenario, Step, Trick
from roombell.rooms.scripted import SOURCES

STEPS_MAX: Final = 2_000
REPEAT_MAX: Final = 100_000
TIME_MAX: Final = "30d"

W = TypeVar("W", Action, Trick)

WORDS: Final = {
    Option.OF: ("room", "participant", "track", "web"),
    Option.KIND: tuple(name.lower() for name, _ in models.ParticipantInfo.Kind.items()),
    Option.REASON: tuple(name.lower() for name, _ in models.DisconnectReason.items()),
}
"""Options that take one of a few words."""

_TOP: Final = ("title", "room", "repeat", "spacing", "settle", "steps", "misbehaviours")
_TIMES: Final = ("at", "after")
_TRICK_OPTIONS: Final = {
    Trick.LOSE: ("of", "times"),
    Trick.HOLD: ("of", "times", "for"),
    Trick.REPEAT: ("of", "times", "after"),
    Trick.TURN: ("of", "times", "into"),
}
_TRICK_NEEDS: Final = {Trick.HOLD: "for", Trick.REPEAT: "after", Trick.TURN: "into"}


def load_scenario(path: Path) -> Scenario:
    """The scenario in a file.

    :raises ConfigError: it cannot be read, or is none.
    """
    return parse_scenario(read_text(path), source=str(path))


def parse_scenario(text: str, *, source: str) -> Scenario:
    """The scenario in a YAML text.

    :param source: what errors call the text.
    :raises ConfigError: and nothing else, whatever the text.
    """
    top = read_document(text, source).section()
    top.check(_TOP)
    steps = _steps(top, source)
    repeat, spacing, settle, room, title = (top.get(key) for key in ("repeat", "spacing", "settle", "room", "title"))
    tricks = top.get("misbehaviours")
    return Scenario(
        title="" if title is None else title.text(),
        room="demo" if room is None else room.text(),
        steps=steps,
        misbehaviours=() if tricks is None else tuple(_misbehaviour(one) for one in tricks.items(STEPS_MAX)),
        repeat=1 if repeat is None else repeat.integer(1, REPEAT_MAX),
        spacing_ms=0 if spacing is None else spacing.duration_ms("0", TIME_MAX),
        settle_ms=600_000 if settle is None else settle.duration_ms("0", TIME_MAX),
    )


def _steps(top: Section, source: str) -> tuple[Step, ...]:
    listed = top.get("steps")
    if listed is None:
        raise ConfigError("a scenario needs steps, as in: steps: [{join: alice}]", source=source, key="steps")
    items = listed.items(STEPS_MAX)
    if not items:
        raise listed.error("a scenario needs at least one step")
    steps: list[Step] = []
    for item in items:
        steps.append(_step(item, steps[-1].at_ms if steps else 0))
    return tuple(steps)


def _step(item: Value, before_ms: int) -> Step:
    section = item.section()
    action = _one_of(item, section, Action)
    options = OPTIONS[action]
    section.check((action, *_TIMES, *options))
    for needed in REQUIRED.get(action, ()):
        if section.get(needed) is None:
            raise item.error(f"{action} needs `{needed}`")
    given = {option: value for option in options if (value := section.get(option)) is not None}
    subject = section.get(action)
    if subject is None and action not in (Action.CREATE, Action.DELETE, Action.CRASH):
        raise item.error(f"`{action}` says nothing; whom or what is it about?")
    if action == Action.PUBLISH and subject is not None:
        subject.word(tuple(SOURCES))
    _check(given)
    return Step(_at(item, section, before_ms), action, "" if subject is None else subject.text(), given, item)


def _check(given: dict[Option, Value]) -> None:
    """Numbers and times are looked at now, so that a play does not end halfway."""
    for option in (Option.EMPTY_TIMEOUT, Option.DEPARTURE_TIMEOUT):
        if option in given:
            given[option].duration_ms("1s", TIME_MAX)
    if Option.MAX_PARTICIPANTS in given:
        given[Option.MAX_PARTICIPANTS].integer(1, 100_000)
    for option, value in given.items():
        if option in (Option.OF, Option.KIND, Option.REASON):
            value.word(WORDS[option])
        value.text()


def _at(item: Value, section: Section, before_ms: int) -> int:
    at, after = section.get("at"), section.get("after")
    if at is not None and after is not None:
        raise item.error("a step has `at`, from the beginning, or `after`, from the step before; not both")
    if at is None:
        return before_ms + (0 if after is None else after.duration_ms("0", TIME_MAX))
    at_ms = at.duration_ms("0", TIME_MAX)
    if at_ms < before_ms:
        raise at.error(f"the step before is at {before_ms / 1000:g}s; steps stand in the order in which they are taken")
    return at_ms


def _misbehaviour(item: Value) -> Misbehaviour:
    section = item.section()
    trick = _one_of(item, section, Trick)
    section.check((trick, *_TRICK_OPTIONS[trick]))
    needed = _TRICK_NEEDS.get(trick)
    if needed is not None and section.get(needed) is None:
        raise item.error(f"{trick} needs `{needed}`")
    event, of, times, into = section.get(trick), section.get("of"), section.get("times"), section.get("into")
    if event is None:
        raise item.error(f"`{trick}` names no event, as in: {trick}: participant_left")
    delay = section.get("for") or section.get("after")
    return Misbehaviour(
        trick=trick,
        event_type=event.word(EVENT_TYPES),
        of="" if of is None else of.text(),
        times=1 if times is None else times.integer(1, 1_000),
        delay_ms=0 if delay is None else delay.duration_ms("0", TIME_MAX),
        into="" if into is None else into.word(EVENT_TYPES),
    )


def _one_of(item: Value, section: Section, words: type[W]) -> W:
    """The one key that is among ``words``."""
    found = [word for word in words if word.value in section]
    if len(found) == 1:
        return found[0]
    if found:
        raise item.error(f"{' and '.join(found)} stand in one entry; make two of them")
    guesses = (near for key in section if (near := nearest(key, tuple(words))))
    guess = next(guesses, "")
    mend = f"did you mean {guess}?" if guess else f"there are {', '.join(words)}"
    raise item.error(f"nothing here says what happens; {mend}")
