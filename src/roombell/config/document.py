"""One YAML text as a tree in which every value knows its file, line and path.

Values are read from YAML's nodes rather than from Python objects made of them, for three reasons: an error can say
where it is; a secret such as ``0123`` is taken as it is written and not as a number; and nothing is ever constructed,
so no tag can do harm. Aliases and merge keys (``<<``) work. How many values are looked at is bounded, so that a file
whose aliases multiply ("billion laughs") ends as an error.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from typing import Final, TypeVar

import msgspec
import yaml

from roombell.config.quantities import (
    BYTES_FORMS,
    DURATION_FORMS,
    RATE_FORMS,
    bytes_of,
    duration_ms_of,
    integer_of,
    rate_per_s_of,
)
from roombell.errors import ConfigError

TEXT_BYTES_MAX: Final = 1 << 20
VALUES_MAX: Final = 20_000
_MERGE_DEPTH_MAX: Final = 16
_SHOWN_CHARS_MAX: Final = 60

_TAG: Final = "tag:yaml.org,2002:"
_NULL: Final = _TAG + "null"
_MERGE: Final = _TAG + "merge"
_SCALARS: Final = frozenset(_TAG + kind for kind in ("str", "int", "float", "bool", "timestamp", "value", "merge"))

_NO_CHARACTER: Final = re.compile("[\0\ud800-\udfff]")

# What YAML's messages quote comes from the file and may be a secret, save for single characters and <words>.
_QUOTED: Final = re.compile(r"""'(?!<)[^']{2,}'|"[^"]{2,}\"""")

_Word = TypeVar("_Word", bound=str)


class Origin:
    """Which text values come from, and how many more of them may be looked at."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._values_left = VALUES_MAX

    def count(self, value: Value) -> None:
        """Takes one value from the budget."""
        self._values_left -= 1
        if self._values_left < 0:
            raise value.error(f"the file holds more than {VALUES_MAX:,} values once its aliases are followed")


class Value(msgspec.Struct, frozen=True):
    """A value in a document. Each reader returns the typed value or raises ``ConfigError`` naming the place."""

    origin: Origin
    node: yaml.Node
    path: str
    key_line: int = 0
    """Where its name stands, for settings in a section."""

    def __repr__(self) -> str:
        return f"<Value {self.path}>"

    @property
    def is_section(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_text(self) -> bool:
        """Whether it is a scalar that is not null."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag in _SCALARS

    @property
    def is_empty(self) -> bool:
        """Whether it is null or the empty text: a setting left empty counts as absent."""
        return isinstance(self.node, yaml.ScalarNode) and (self.node.tag == _NULL or not self.node.value)

    def error(self, message: str) -> ConfigError:
        """An error at this place."""
        line = self.node.start_mark.line + 1
        return ConfigError(message, source=self.origin.source, line=line, key=self.path)

    def misnamed(self, message: str) -> ConfigError:
        """An error about the setting's name, which may stand above the value."""
        return ConfigError(message, source=self.origin.source, line=self.key_line, key=self.path)

    def text(self) -> str:
        """Any scalar, as it is written in the file; not empty."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error(f"expected text, found {self._kind()}")
        if self.node.tag not in _SCALARS | {_NULL}:
            raise self.error(
                f"expected text, found {self._kind()} with the tag {_shown(self.node.tag)}; leave the tag out"
            )
        written: str = self.node.value
        if not written or self.node.tag == _NULL:
            raise self.error("expected text, found nothing")
        if _NO_CHARACTER.search(written):
            raise self.error("the text holds a character that is none (NUL or half of a surrogate pair)")
        return written

    def integer(self, least: int, most: int) -> int:
        """A whole number within bounds."""
        number = integer_of(self.text())
        if number is None:
            raise self.error(f"expected a whole number, found {_shown(self.text())}")
        if not least <= number <= most:
            raise self.error(f"must be from {least} to {most}, found {_shown(self.text())}")
        return number

    def duration_ms(self, least: str, most: str) -> int:
        """A span of time with its unit, within bounds that are written the same way."""
        return self._quantity(
            duration_ms_of(self.text()), (duration_ms_of(least), duration_ms_of(most)), (least, most), DURATION_FORMS
        )

    def size_bytes(self, least: str, most: str) -> int:
        """A number of bytes, with or without unit, within bounds that are written the same way."""
        return self._quantity(bytes_of(self.text()), (bytes_of(least), bytes_of(most)), (least, most), BYTES_FORMS)

    def rate_per_s(self, most: int) -> float:
        """How often a second: more than never, and ``most`` at most."""
        rate = rate_per_s_of(self.text())
        if rate is None:
            raise self.error(f"expected {RATE_FORMS}, found {_shown(self.text())}")
        if not 0 < rate <= most:
            raise self.error(f"must be more than 0 and up to {most}/s, found {_shown(self.text())}")
        return rate

    def word(self, words: Collection[_Word]) -> _Word:
        """One of a few words."""
        for word in words:
            if word == self.text():
                return word
        raise self.error(f"expected {' or '.join(words)}, found {_shown(self.text())}")

    def items(self, items_max: int) -> tuple[Value, ...]:
        """The values of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error(f"expected a list, found {self._kind()}")
        if len(self.node.value) > items_max:
            raise self.error(f"the list has {len(self.node.value)} entries; the limit is {items_max}")
        values = tuple(Value(self.origin, node, f"{self.path}[{i}]") for i, node in enumerate(self.node.value))
        for value in values:
            self.origin.count(value)
        return values

    def section(self) -> Section:
        """The settings of a mapping."""
        return Section(self, dict(self.pairs()))

    def pairs(self) -> Iterator[tuple[str, Value]]:
        """Every key with its value."""
        return self._pairs(0)

    def _pairs(self, depth: int) -> Iterator[tuple[str, Value]]:
        """The mapping's own pairs in the file's order, then those it merges in. A key that it has itself wins."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"expected a section of settings, found {self._kind()}")
        seen: set[str] = set()
        merged: list[Value] = []
        for key_node, value_node in self.node.value:
            if key_node.tag == _MERGE:
                merged.append(Value(self.origin, value_node, f"{self.path}.<<" if self.path else "<<"))
                continue
            key, value = self._pair(key_node, value_node)
            if key in seen:
                raise value.misnamed("given twice; keep one of them")
            seen.add(key)
            yield key, value
        for other in merged:
            yield from self._merged(other, seen, depth)

    def _pair(self, key_node: yaml.Node, value_node: yaml.Node) -> tuple[str, Value]:
        key = Value(self.origin, key_node, self.path).text()
        name, colon, _secret = key.partition(":")  # "key:secret" without the space is one text
        shown = f"{name}{colon and ':…'}" if re.fullmatch(r"[\w.*/-]{1,80}", name, re.ASCII) else _shown(name)
        line = key_node.start_mark.line + 1
        value = Value(self.origin, value_node, f"{self.path}.{shown}" if self.path else shown, line)
        self.origin.count(value)
        return key, value

    def _merged(self, other: Value, seen: set[str], depth: int) -> Iterator[tuple[str, Value]]:
        if depth >= _MERGE_DEPTH_MAX:
            raise other.error(f"sections are merged more than {_MERGE_DEPTH_MAX} deep")
        sections = other.items(VALUES_MAX) if isinstance(other.node, yaml.SequenceNode) else (other,)
        for section in sections:
            for key, value in section._pairs(depth + 1):  # noqa: SLF001 - of the same class
                if key not in seen:
                    seen.add(key)
                    yield (
                        key,
                        msgspec.structs.replace(value, path=value.path.replace(section.path, self.path, 1).lstrip(".")),
                    )

    def _quantity(
        self, number: int | None, bounds: tuple[int | None, int | None], shown: tuple[str, str], forms: str
    ) -> int:
        least, most = bounds
        if number is None or least is None or most is None:
            raise self.error(f"expected {forms}, found {_shown(self.text())}")
        if not least <= number <= most:
            raise self.error(f"must be from {shown[0]} to {shown[1]}, found {_shown(self.text())}")
        return number

    def _kind(self) -> str:
        if self.node.tag == _NULL:
            return "nothing"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        return "a section of settings" if isinstance(self.node, yaml.MappingNode) else "text"


class Section:
    """A mapping's settings by name."""

    def __init__(self, value: Value, settings: dict[str, Value]) -> None:
        self.value = value
        self._settings = settings

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def get(self, name: str) -> Value | None:
        """The setting, or None where it is absent or left empty."""
        value = self._settings.get(name)
        return None if value is None or value.is_empty else value

    def section(self, name: str, known: Collection[str]) -> Section:
        """A section within this one, empty where it is absent, that holds no other settings than ``known``."""
        value = self.get(name)
        if value is None:
            return Section(self.value, {})
        section = value.section()
        section.check(known)
        return section

    def check(self, known: Collection[str]) -> None:
        """Refuses a setting that is not ``known``, with the nearest one that is."""
        for name, value in self._settings.items():
            if name not in known:
                near = nearest(name, known)
                mend = f"did you mean {near}?" if near else f"there are {', '.join(sorted(known))}"
                raise value.misnamed(f"there is no such setting; {mend}")


def nearest(name: str, known: Collection[str]) -> str:
    """The known name that is most like ``name``; empty where none is like it."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), "")


def text_value(text: str, source: str) -> Value:
    """A single text that stands in no document, such as an environment variable's: its errors name no line."""
    nowhere = yaml.Mark(source, 0, -1, 0, None, 0)
    return Value(Origin(source), yaml.ScalarNode(_TAG + "str", text, nowhere, nowhere), "")


def read_document(text: str, source: str) -> Value:
    """The document's root; an empty section for an empty document.

    :raises ConfigError: the text is too long or is no YAML. The message never quotes the text: it may be a secret.
    """
    if len(text) > TEXT_BYTES_MAX:
        raise ConfigError(f"the file is larger than {TEXT_BYTES_MAX:,} bytes", source=source)
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError("there is a control character here; remove it", source=source, line=line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(_problem(error), source=source, line=mark.line + 1 if mark else 0) from None
    except RecursionError:
        raise ConfigError("the file is nested too deeply", source=source) from None
    except (yaml.YAMLError, ValueError, OverflowError, LookupError, TypeError):
        raise ConfigError("this is no YAML: an escape or a character in it has no meaning", source=source) from None
    if root is None or root.tag == _NULL:
        start = yaml.Mark(source, 0, 0, 0, None, 0)
        root = yaml.MappingNode(f"{_TAG}map", [], start, start)
    return Value(Origin(source), root, "")


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "syntax error"
    if "\\t" in problem:
        return "a tab stands where YAML wants spaces; indent with spaces"
    if "alias" in problem:
        return "an alias (*name) refers to nothing; a text that begins with * needs quotes"
    if "another document" in problem:
        return "a second YAML document begins here (---); keep one"
    return f"this is no YAML: {_QUOTED.sub('something', problem)}"


def _shown(text: str) -> str:
    """A piece of the file, safe to print: one line, not long."""
    return ascii(text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}...")
