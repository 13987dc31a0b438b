"""Options that say which deliveries are meant."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click
import msgspec

from roombell.config.quantities import duration_ms_of
from roombell.engine.model import DeliveryState
from roombell.engine.operator import MOMENT_MS_MAX, PAGE_MAX, Selection
from roombell.errors import UsageError


def moment_ms(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """A time, as UTC milliseconds since the epoch: ``2h`` (ago), ``2026-07-01``, ``2026-07-01T12:00:00+02:00``.

    Without an offset it is UTC.

    :raises click.BadParameter: it is no time.
    """
    if value is None:
        return None
    span_ms = duration_ms_of(value)
    if span_ms is not None:
        at_ms = round(time.time() * 1000) - span_ms
        if at_ms >= -MOMENT_MS_MAX:
            return at_ms
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time: 2h (ago) or 2026-07-01T12:00:00Z would be one.") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the options say."""

    endpoint: str | None = None
    lane: str | None = None
    room: str | None = None
    event_id: str | None = None
    since: int | None = None
    until: int | None = None
    states: tuple[DeliveryState, ...] = ()
    everything: bool = False
    dry_run: bool = False
    limit: int = PAGE_MAX
    after: str = ""

    @property
    def selection(self) -> Selection:
        """The deliveries that are meant."""
        return Selection(
            endpoint=self.endpoint,
            lane=self.lane,
            room=self.room,
            event_id=self.event_id,
            states=self.states or tuple(DeliveryState),
            since_ms=self.since,
            until_ms=self.until,
        )

    def check_meant(self) -> None:
        """Nobody changes everything by leaving an option out.

        :raises UsageError: neither an option nor ``--all`` says what is meant.
        """
        says = self.selection != Selection()
        if not says and not self.everything:
            raise UsageError("Say which, by --endpoint, --lane or another option that narrows it down; or say --all.")
        if says and self.everything:
            raise UsageError("--all means everything: leave the other options out, or leave --all out.")


def lane_options() -> list[click.Parameter]:
    """What says which lanes."""
    return [
        click.Option(["--endpoint"], metavar="NAME", help="Only this endpoint."),
        click.Option(["--lane"], metavar="KEY", help="Only this ordering key: a room's name, an egress' id."),
    ]


def selection_options() -> list[click.Parameter]:
    """What says which deliveries."""
    since_help = "Only events accepted then or later: 2h (ago), 2026-07-01T12:00:00Z."
    return [
        *lane_options(),
        click.Option(["--room"], metavar="NAME", help="Only events of this room."),
        click.Option(["--event", "event_id"], metavar="ID", help="Only this event."),
        click.Option(["--since"], callback=moment_ms, metavar="TIME", help=since_help),
        click.Option(["--until"], callback=moment_ms, metavar="TIME", help="Only events accepted before."),
    ]


def page_options() -> list[click.Parameter]:
    """What says which page of deliveries."""
    states = click.Choice([state.value for state in DeliveryState])
    return [
        click.Option(["--state", "states"], multiple=True, type=states, help="Only in this state; may be repeated."),
        click.Option(
            ["--limit"],
            metavar="N",
            type=click.IntRange(1, PAGE_MAX),
            default=100,
            show_default=True,
            help="How many at most.",
        ),
        _after(),
    ]


def run_options() -> list[click.Parameter]:
    """What says how something long is done."""
    return [
        click.Option(["--all", "everything"], is_flag=True, help="All there are."),
        click.Option(["--dry-run"], is_flag=True, help="Only tell how many it would be."),
        _after(),
    ]


def _after() -> click.Option:
    return click.Option(["--after"], metavar="PLACE", default="", help="Go on where an earlier run ended.")
