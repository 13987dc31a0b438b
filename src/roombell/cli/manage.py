"""``roombell endpoints``, ``deliveries``, ``attempts``, ``redrive``, ``replay``, ``cancel``, ``unblock``, ``pause``
and ``resume``.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import click
import msgspec

from roombell.cli.desk import Desk, EndpointLine, desk_settings, opened_desk
from roombell.cli.exits import ExitCode
from roombell.cli.options import chosen_keys, config_option, json_option, key_option, secret_option, sendable
from roombell.cli.output import Output, counted
from roombell.cli.selecting import Asked, lane_options, page_options, run_options, selection_options
from roombell.engine.model import EndpointState
from roombell.engine.operator import Action, Progress
from roombell.engine.selection import DeliveryStatus
from roombell.errors import UsageError
from roombell.signing.errors import span

_STATE_STYLES: Final = {
    "active": "green", "delivered": "green", "pending": "cyan", "paused": "yellow", "cancelled": "dim",
    "disabled": "bold red", "removed": "dim", "dead": "bold red",
}  # fmt: skip
_DONE: Final = {
    Action.REDRIVE: "redriven",
    Action.REPLAY: "replayed",
    Action.CANCEL: "cancelled",
    Action.UNBLOCK: "unblocked",
}

P = TypeVar("P", bound=msgspec.Struct)
Work = Callable[[P, Desk, Output], Awaitable[ExitCode]]


class _Where(msgspec.Struct, frozen=True):
    """The options that every one of these commands has."""

    service: str | None
    key: str | None
    secret: str | None
    as_json: bool

    def __repr__(self) -> str:
        return f"<_Where {self.service}>"


class _Nothing(msgspec.Struct, frozen=True):
    pass


class _Endpoint(msgspec.Struct, frozen=True):
    name: str


class _Event(msgspec.Struct, frozen=True):
    event_id: str


class _Next(msgspec.Struct, frozen=True, tag_field="record", tag="next"):
    after: str


class _Progress(msgspec.Struct, frozen=True, tag_field="record", tag="progress"):
    action: str
    done: int
    left: int
    next: str
    dry_run: bool


def _command(
    name: str, short: str, text: str, kind: type[P], work: Work[P], parameters: Sequence[click.Parameter] = ()
) -> click.Command:
    """A command whose ``work`` is done at the service, or on the store where none runs."""

    def call(**values: object) -> int:
        config = values.pop("config")
        assert config is None or isinstance(config, Path)
        where = msgspec.convert({field: values.pop(field) for field in _Where.__struct_fields__}, _Where)
        return asyncio.run(_at_desk(config, where, functools.partial(work, msgspec.convert(values, kind))))

    service = click.Option(
        ["--service"],
        metavar="URL",
        callback=sendable,
        help="The running service. By default the one on this machine; where none runs, the store itself.",
    )
    command = click.Command(name, callback=call, help=text, short_help=short, params=[*parameters])
    config_option(command)
    command.params.append(service)
    for option in (key_option, secret_option, json_option):
        option(command)
    return command


async def _at_desk(config: Path | None, where: _Where, work: Callable[[Desk, Output], Awaitable[ExitCode]]) -> int:
    settings = desk_settings(config)
    keys = chosen_keys(settings, where.key, where.secret)
    if not keys:
        raise UsageError("There is no API key: name a --config that has one, or give --key and --secret.")
    async with opened_desk(settings, keys, where.service) as desk:
        return await work(desk, Output(json=where.as_json))


async def _endpoints(_nothing: _Nothing, desk: Desk, output: Output) -> ExitCode:
    for endpoint in await desk.endpoints():
        output.record(endpoint)
        _tell_endpoint(output, endpoint)
    return ExitCode.OK


async def _deliveries(asked: Asked, desk: Desk, output: Output) -> ExitCode:
    page = await desk.deliveries(asked.selection, after=asked.after, limit=asked.limit)
    for delivery in page.deliveries:
        output.record(delivery)
        _tell_delivery(output, delivery)
    if page.next:
        output.record(_Next(page.next))
        output.line((f"There may be more: --after {page.next}", "dim"))
    return ExitCode.OK


async def _attempts(asked: _Event, desk: Desk, output: Output) -> ExitCode:
    histories = await desk.attempts(asked.event_id)
    for history in histories:
        output.record(history)
        _tell_delivery(output, history.delivery)
        for made in history.attempts:
            told = str(made.status) if made.status else made.outcome
            line = f"    {made.number:>3}  {_when(made.started_at_ms)}  {told} in {made.duration_ms} ms  {made.detail}"
            output.line(line.rstrip())
    if not histories:
        output.error(f"There is no event {asked.event_id}: it was never accepted, went to nobody, or was pruned.")
    return ExitCode.OK if histories else ExitCode.FAILED


async def _pause(asked: _Endpoint, desk: Desk, output: Output) -> ExitCode:
    await desk.pause(asked.name)
    output.line(f"{asked.name} is paused. To go on: roombell resume {asked.name}")
    return ExitCode.OK


async def _resume(asked: _Endpoint, desk: Desk, output: Output) -> ExitCode:
    await desk.resume(asked.name)
    output.line(f"{asked.name} is sent to again.")
    return ExitCode.OK


async def _run(action: Action, asked: Asked, desk: Desk, output: Output) -> ExitCode:
    asked.check_meant()
    total = Progress(next=asked.after)
    try:
        while True:
            step = await desk.step(action, asked.selection, after=total.next, dry_run=asked.dry_run)
            total = Progress(done=total.done + step.done, left=total.left + step.left, next=step.next)
            output.record(_Progress(action.value, total.done, total.left, total.next, asked.dry_run))
            if not total.next:
                break
            if output.is_terminal:
                output.line((f"{total.done:,} so far", "dim"))
    finally:
        if total.next and total.next != asked.after:
            output.note(f"Not finished. To go on, the same command with: --after {total.next}")
    _tell_total(output, action, total, dry_run=asked.dry_run)
    return ExitCode.OK


def _tell_total(output: Output, action: Action, total: Progress, *, dry_run: bool) -> None:
    what = counted(total.done, "lane") if action is Action.UNBLOCK else _counted_deliveries(total.done)
    would = "would be " if dry_run else ""
    output.line((f"{what} {would}{_DONE[action]}.", "bold"))
    if total.left:
        output.line(f"{_counted_deliveries(total.left)} left: they may be under way. Ask again in a moment.")


def _counted_deliveries(number: int) -> str:
    return f"{number:,} {'delivery' if number == 1 else 'deliveries'}"


def _tell_endpoint(output: Output, endpoint: EndpointLine) -> None:
    oldest_at_ms = endpoint.oldest_pending_at_ms
    oldest = "" if oldest_at_ms is None else f"  oldest {span(time.time() - oldest_at_ms / 1000)}"
    blocked = f"  {counted(endpoint.blocked, 'lane')} blocked" if endpoint.blocked else ""
    reason = "" if endpoint.state is EndpointState.ACTIVE else f"  {endpoint.reason}"
    output.line(
        (f"{endpoint.name:<32}", "bold"), "  ", (f"{endpoint.state.value:<8}", _STATE_STYLES[endpoint.state.value]),
        f"  {endpoint.pending:>9,} pending  {endpoint.dead:>7,} dead{blocked}{oldest}{reason}",
    )  # fmt: skip


def _tell_delivery(output: Output, delivery: DeliveryStatus) -> None:
    reason = f"  {delivery.reason}" if delivery.reason else ""
    blocks = "  blocks its lane" if delivery.blocks else ""
    output.line(
        _when(delivery.accepted_at_ms), "  ", (f"{delivery.state.value:<9}", _STATE_STYLES[delivery.state.value]),
        f"  {delivery.event_id}  {delivery.event_type}  to {delivery.endpoint}  lane {delivery.lane} "
        f"#{delivery.sequence}  {counted(delivery.attempts, 'attempt')}{reason}{blocks}",
    )  # fmt: skip


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


COMMANDS: Final = (
    _command(
        "endpoints",
        "Show the endpoints and what they are owed.",
        "List the endpoints: state, pending and dead deliveries, blocked lanes, the age of the oldest pending one.",
        _Nothing,
        _endpoints,
    ),
    _command(
        "deliveries",
        "Find deliveries.",
        "List deliveries in the order in which their events were accepted.",
        Asked,
        _deliveries,
        [*selection_options(), *page_options()],
    ),
    _command(
        "attempts",
        "Show every attempt at an event's deliveries.",
        "List an event's deliveries with every attempt. The exit code is 1 if there is no such event.",
        _Event,
        _attempts,
        [click.Argument(["event_id"])],
    ),
    _command(
        "redrive",
        "Make dead and cancelled deliveries pending again.",
        "Make dead and cancelled deliveries pending again, each in its old place in its lane. A lane that waits for "
        "one of them goes on. Doing it twice is safe.",
        Asked,
        functools.partial(_run, Action.REDRIVE),
        [*selection_options(), *run_options()],
    ),
    _command(
        "replay",
        "Deliver again what was delivered.",
        "Deliver again what was delivered before this command began: the same ids and bodies, in order.",
        Asked,
        functools.partial(_run, Action.REPLAY),
        [*selection_options(), *run_options()],
    ),
    _command(
        "cancel",
        "Give up pending deliveries.",
        "Give up pending deliveries. What may be under way at that moment is left, and told.",
        Asked,
        functools.partial(_run, Action.CANCEL),
        [*selection_options(), *run_options()],
    ),
    _command(
        "unblock",
        "Let blocked lanes go on.",
        "Let lanes go on without the dead delivery they wait for. To go on with it: roombell redrive.",
        Asked,
        functools.partial(_run, Action.UNBLOCK),
        [*lane_options(), *run_options()],
    ),
    _command(
        "pause",
        "Send an endpoint nothing for now.",
        "Send an endpoint nothing until it is resumed, over restarts too. What it is owed is kept, and grows.",
        _Endpoint,
        _pause,
        [click.Argument(["name"])],
    ),
    _command(
        "resume",
        "Send to an endpoint again.",
        "Send to an endpoint again that was paused, or disabled.",
        _Endpoint,
        _resume,
        [click.Argument(["name"])],
    ),
)
