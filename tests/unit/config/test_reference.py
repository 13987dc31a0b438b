"""The documentation of the settings is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from roombell.config import REFERENCE, Settings, parse, reference_markdown
from roombell.config.quantities import bytes_of, duration_ms_of, integer_of

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"
ENDPOINT = "keys: {a: x}\nendpoints:\n- name: e\n  url: https://e.test/\n"


def test_the_page_is_the_one_that_the_program_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference_markdown(), (
        "write it anew: python -c 'from roombell.config import reference_markdown as r; print(r(), end=\"\")'"
        f" > {PAGE.name}"
    )


def with_default(key: str, default: str) -> str:
    """A file that says one default in so many words."""
    section, _, name = key.rpartition(".")
    match section.split("."):
        case ["endpoints[]"]:
            return f"{ENDPOINT}  {name}: {default}\n"
        case ["endpoints[]", inner]:
            return f"{ENDPOINT}  {inner}: {{{name}: {default}}}\n"
        case ["webhook", "filter_params"]:
            return f"{ENDPOINT}webhook: {{filter_params: {{{name}: {default}}}}}\n"
        case [""]:
            return f"{ENDPOINT}{name}: {default}\n"
        case _:
            return f"{ENDPOINT}{section}: {{{name}: {default}}}\n"


def read(text: str) -> Settings:
    return parse(text, source="c.yaml", environ={})


@pytest.mark.parametrize("setting", [setting for setting in REFERENCE if setting.default], ids=lambda s: s.key)
def test_each_documented_default_is_what_leaving_it_out_means(setting) -> None:
    assert read(with_default(setting.key, setting.default)) == read(ENDPOINT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("500ms", 500),
        ("15s", 15_000),
        ("1.5s", 1_500),
        ("1h30m", 5_400_000),
        ("7d", 604_800_000),
        ("2w", 1_209_600_000),
        ("15", None),
        ("-1s", None),
        ("", None),
        ("1s ", None),
        ("1 s", None),
        ("s", None),
        ("1y", None),
        ("\u0661s", None),
    ],
)
def test_durations_need_a_unit(text: str, expected: int | None) -> None:
    assert duration_ms_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("1_000", 1000), ("64KiB", 65_536), ("1 MiB", 1 << 20), ("2GiB", 2 << 30), ("1MB", None), ("-1", None)],
)
def test_sizes_are_in_powers_of_1024(text: str, expected: int | None) -> None:
    assert bytes_of(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("-3", -3), ("1_0", 10), ("1.0", None), ("0x1", None), ("", None)])
def test_whole_numbers_are_decimal(text: str, expected: int | None) -> None:
    assert integer_of(text) == expected
