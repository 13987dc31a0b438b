"""The documentation's pages as data: fenced blocks, tables, links, and what each block says about how it is tested.

A comment directly above a fence tells the tests what to do with it; readers do not see it::

    <!-- test: terminal=service until="Listening on" -->

Words are split as in a shell. ``<!-- test: interrupt=service -->`` with no fence below is a step of its own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[a-z]*)\s*$")
_DIRECTIVE = re.compile(r"^ *<!-- test: (?P<words>.*) -->\s*$")
_HEADING = re.compile(r"^#+ +(?P<title>.+?)\s*$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CELLS = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Block:
    """A fenced block, or a directive that stands alone (``language`` is empty then, and so is ``text``)."""

    page: Path
    line: int
    language: str
    text: str
    directives: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every page of the documentation, and what is written for readers at the top of the repository."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]


def page_blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    return list(_blocks(page, page.read_text(encoding="utf-8").splitlines()))


def blocks(*languages: str) -> list[Block]:
    """All blocks of all pages in one of the languages."""
    return [block for page in pages() for block in page_blocks(page) if block.language in languages]


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    directives: dict[str, str] = {}
    told_at = number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if found := _DIRECTIVE.match(line):
            directives, told_at = _words(found["words"]), number
            if number >= len(lines) or not _FENCE.match(lines[number]):
                yield Block(page, told_at, "", "", directives)
                directives = {}
        elif fence := _FENCE.match(line):
            begin, indent = number, len(fence["indent"])
            while lines[number].strip() != "```":
                number += 1
            text = "".join(f"{one[indent:]}\n" for one in lines[begin:number])
            number += 1
            yield Block(page, begin, fence["language"], text, directives)
            directives = {}


def _words(text: str) -> dict[str, str]:
    pairs = (word.partition("=") for word in shlex.split(text))
    return {name: value for name, _, value in pairs}


def _prose(page: Path) -> Iterator[tuple[int, str]]:
    """The lines outside fences, with their numbers."""
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip().startswith("```"):
            inside = not inside
        elif not inside:
            yield number, line


def links(page: Path) -> list[tuple[int, str]]:
    """Line and target of every link."""
    return [(number, found["target"]) for number, line in _prose(page) for found in _LINK.finditer(line)]


def anchors(page: Path) -> set[str]:
    """What a link into the page may name after ``#``: its headings, as GitHub spells them."""
    titles = [found["title"] for _, line in _prose(page) if (found := _HEADING.match(line))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def tables(page: Path) -> dict[str, list[list[str]]]:
    """The rows of each table, without its head, by the page's last heading or ``<!-- table: name -->`` before it."""
    found: dict[str, list[list[str]]] = {}
    name, rows = "", 0
    for _, line in _prose(page):
        if heading := _HEADING.match(line):
            name = heading["title"]
        elif line.startswith("<!-- table: "):
            name = line.removeprefix("<!-- table: ").removesuffix(" -->")
        rows = rows + 1 if line.startswith("|") else 0
        if rows > 2:
            cells = [cell.strip().replace("\\|", "|") for cell in _CELLS.split(line.strip())[1:-1]]
            found.setdefault(name, []).append(cells)
    return found


def code_of(cell: str) -> list[str]:
    """What stands in back ticks in a table's cell."""
    return re.findall(r"`([^`]+)`", cell)
