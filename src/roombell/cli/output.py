"""What goes to the terminal: colours where one is, plain text elsewhere, one JSON object a line where asked for.

Names of rooms and people are strangers' input: whatever would steer a terminal is escaped. Lines are never wrapped,
so that they can be searched and cut.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec
from rich.console import Console
from rich.text import Text

from roombell.service.log_lines import printable

Part = str | tuple[str, str]
"""A piece of a line: text, or text with a style."""


class OutputLost(Exception):
    """Stdout takes no more.

    :param reason: why; empty where nobody reads it any more.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def writing() -> Iterator[None]:
    """Raises ``OutputLost`` where writing fails. Of an ``OSError`` nobody could say whether the command's own work had
    met it, and click makes an exit code of its own of a broken pipe.
    """
    try:
        yield
    except BrokenPipeError:
        raise OutputLost("") from None
    except OSError as error:
        raise OutputLost(error.strerror or str(error)) from None


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leaves the end of the command to whoever runs it; rich would exit here."""
        raise BrokenPipeError


def _console(*, stderr: bool) -> Console:
    """Rich alone would leave bold and dim where ``NO_COLOR`` is set; this leaves nothing."""
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return _Console(stderr=stderr, color_system=colours, highlight=False, markup=False, emoji=False, soft_wrap=True)


class Output:
    """Where a command's lines go. Made anew for each command, so that it writes to the streams of that moment.

    :param json: stdout gets JSON objects only; what people should know goes to stderr.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self._out, self._err = _console(stderr=False), _console(stderr=True)
        self._encode = msgspec.json.Encoder().encode

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches."""
        return self._out.is_terminal and not self.json

    def line(self, *parts: Part) -> None:
        """A line for people. Nothing in JSON mode."""
        if not self.json:
            with writing():
                self._out.print(_text(parts))
                sys.stdout.flush()

    def note(self, *parts: Part) -> None:
        """A line for people that is no result: on stderr in JSON mode."""
        with writing():
            (self._err if self.json else self._out).print(_text(parts))
            sys.stdout.flush()

    def error(self, *parts: Part) -> None:
        """A line on stderr."""
        self._err.print(_text(parts))

    def record(self, record: msgspec.Struct) -> None:
        """A line for machines. Nothing outside JSON mode."""
        if self.json:
            with writing():
                print(self._encode(record).decode(), flush=True)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Says what is waited for, as long as it is, to a person who watches."""
        if not self.is_terminal:
            yield
            return
        with self._out.status(Text(printable(what))):
            yield


def counted(number: int, noun: str) -> str:
    """``1 event``, ``2 events``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _text(parts: tuple[Part, ...]) -> Text:
    return Text.assemble(*(printable(one) if isinstance(one, str) else (printable(one[0]), one[1]) for one in parts))
