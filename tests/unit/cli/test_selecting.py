"""Times, as options say them."""

import click
import pytest

from roombell.cli.selecting import moment_ms, selection_options
from roombell.engine.operator import MOMENT_MS_MAX

SINCE = next(option for option in selection_options() if option.name == "since")
CONTEXT = click.Context(click.Command("redrive"))


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1970-01-02", 86_400_000),
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01T02:00:00+02:00", 0),
    ],
)
def test_a_time_without_offset_is_utc(text, at_ms):
    assert moment_ms(CONTEXT, SINCE, text) == at_ms


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "3650d"])
def test_every_date_is_a_time(text):
    assert abs(moment_ms(CONTEXT, SINCE, text)) < MOMENT_MS_MAX


@pytest.mark.parametrize("text", ["yesterday", "2h ago", "", "12", "2026-13-01", "999999999999w"])
def test_what_is_no_time_is_refused_with_an_example(text):
    with pytest.raises(click.BadParameter, match=r"is no time: 2h \(ago\)"):
        moment_ms(CONTEXT, SINCE, text)
