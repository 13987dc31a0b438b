"""Functions and files stay small enough to be read at one sitting."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
FUNCTION_LINES_MEDIAN_MAX = 10
FUNCTION_LINES_P95_MAX = 40
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400


def function_lines() -> dict[str, int]:
    """The length of every function under ``src``, docstring included, by ``file:line name``."""
    lengths = {}
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                where = f"{path.relative_to(SRC)}:{node.lineno} {node.name}"
                lengths[where] = node.end_lineno - node.lineno + 1
    return lengths


def test_half_of_the_functions_have_at_most_ten_lines() -> None:
    assert statistics.median(function_lines().values()) <= FUNCTION_LINES_MEDIAN_MAX


def test_ninety_five_of_a_hundred_functions_have_at_most_forty_lines() -> None:
    lengths = function_lines()
    long = {where: lines for where, lines in lengths.items() if lines > FUNCTION_LINES_P95_MAX}
    assert len(long) <= 0.05 * len(lengths), long


def test_no_function_has_more_than_seventy_lines() -> None:
    assert {where: lines for where, lines in function_lines().items() if lines > FUNCTION_LINES_MAX} == {}


def test_no_file_has_more_than_four_hundred_lines() -> None:
    lengths = {
        str(path.relative_to(SRC)): len(path.read_text(encoding="utf-8").splitlines()) for path in SRC.rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES_MAX} == {}
