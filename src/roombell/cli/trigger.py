"""``roombell trigger``."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import msgspec

from roombell.cli.exits import ExitCode, NetworkTrouble
from roombell.cli.options import (
    chosen_keys,
    config_option,
    host_to_reach,
    json_option,
    key_option,
    secret_option,
    sendable,
    tool_settings,
)
from roombell.cli.output import Output, Part, counted
from roombell.cli.scenarios import SCENARIOS, Story, call, single
from roombell.cli.sending import INGEST_PATH, POLL_INTERVAL_S, Answer, Arrivals, DevService, Sender
from roombell.config import Keys, Settings
from roombell.errors import UsageError
from roombell.events import EVENT_TYPES, WebhookEvent, parse
from roombell.service.dev_page import Shown

QUIET_S_MAX: Final = 30.0
"""How long a development service may deliver nothing before it is no longer waited for."""


class SentRecord(msgspec.Struct, frozen=True, tag="sent", tag_field="record"):
    """``--json``: one event was sent."""

    event: str
    id: str
    room: str
    accepted: bool
    status: int
    duplicate: bool | None
    duration_ms: int
    message: str


class DeliveredRecord(msgspec.Struct, frozen=True, tag="delivered", tag_field="record"):
    """``--json``: a development service delivered an event."""

    event: str
    id: str
    lane: str
    sequence: str
    attempt: str
    verified: bool
    received_at_ms: int


class SummaryRecord(msgspec.Struct, frozen=True, tag="summary", tag_field="record"):
    """``--json``: how it ended. ``delivered`` is null where nothing tells."""

    events: int
    sent: int
    accepted: int
    delivered: int | None
    in_order: bool | None


@click.command(short_help="Send signed webhooks, as LiveKit would.")
@click.argument("what", metavar="EVENT|SCENARIO", required=False)
@click.option(
    "--to", "url", metavar="URL", callback=sendable, help="Where to send. By default the service on this machine."
)
@config_option
@key_option
@secret_option
@click.option("--room", metavar="NAME", help="The room's name. By default a new one for each run.")
@click.option("--identity", metavar="NAME", default="alice", show_default=True, help="The participant's identity.")
@click.option(
    "--count", metavar="N", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="How many times."
)
@click.option("--list", "list_all", is_flag=True, help="List the events and scenarios there are.")
@json_option
def trigger(
    *,
    what: str | None,
    url: str | None,
    config: Path | None,
    key: str | None,
    secret: str | None,
    room: str | None,
    identity: str,
    count: int,
    list_all: bool,
    as_json: bool,
) -> int:
    """Send signed webhooks as LiveKit would: one EVENT, or a SCENARIO of many.

    Every event gets a new id; within a run, sids and times fit together. To a service in --dev it also shows the
    deliveries as they arrive. The exit code is 0 only if all were accepted and, there, delivered.
    """
    if list_all:
        _list(Output())
        return ExitCode.OK
    output = Output(json=as_json)
    name = _known(what)
    _check_text(("--room", room or ""), ("--identity", identity))
    settings = tool_settings(config)
    keys = chosen_keys(settings, key, secret)
    run = _Run(output, url or _own_url(settings), keys, is_default=url is None)
    bodies = (body for _ in range(count) for body in _bodies(name, room, identity))
    return asyncio.run(run.send_all(bodies, count * len(_bodies(name, room, identity))))


def _known(what: str | None) -> str:
    names = (*EVENT_TYPES, *SCENARIOS)
    if what in names:
        return what
    if what is None:
        raise UsageError(
            "Name an event or a scenario, as in: roombell trigger call. To see all: roombell trigger --list"
        )
    near = difflib.get_close_matches(what, names, n=1, cutoff=0.5)
    mend = f"Did you mean {near[0]}?" if near else "To see all: roombell trigger --list"
    raise UsageError(f"There is no event or scenario {what!r}. {mend}")


def _check_text(*given: tuple[str, str]) -> None:
    for option, text in given:
        try:
            text.encode()
        except UnicodeEncodeError:  # bytes of the command line that are no text
            raise UsageError(f"{option} is not valid UTF-8 text, so it cannot stand in an event.") from None


def _list(output: Output) -> None:
    output.line(("Events", "bold"))
    for event_type in EVENT_TYPES:
        output.line(f"  {event_type}")
    output.line(("Scenarios", "bold"))
    for name, meaning in SCENARIOS.items():
        output.line(f"  {name:<30}  ", (meaning, "dim"))


def _own_url(settings: Settings) -> str:
    return f"http://{host_to_reach(settings.bind_addresses)}:{settings.port}{INGEST_PATH}"


def _bodies(name: str, room: str | None, identity: str) -> tuple[bytes, ...]:
    salt = secrets.token_hex(8)
    story = Story(salt, room or f"demo-{salt[:4]}", identity, int(time.time()))
    return call(story) if name in SCENARIOS else single(name, story)


class _Run:
    """One run: sends, watches, tells, and knows how it ended."""

    def __init__(self, output: Output, url: str, keys: Keys, *, is_default: bool) -> None:
        self._output = output
        self._url = url
        self._keys = keys
        self._is_default = is_default
        self._dev = DevService(url)
        self._arrivals = Arrivals()
        self._sent: list[WebhookEvent] = []
        self._accepted: set[str] = set()
        self._told = 0
        self._watching: asyncio.Task[None] | None = None
        """Begins when an answer is Roombell's: nobody else is asked for deliveries."""

    async def send_all(self, bodies: Iterator[bytes], total: int) -> ExitCode:
        """Sends in order, each after the answer to the one before."""
        self._output.line(f"Sending {counted(total, 'event')} to {self._url}, signed with {next(iter(self._keys))}.")
        sender = Sender(self._url, self._keys, secrets.token_hex(4))
        try:
            for body in bodies:
                await self._send(sender, parse(body), total)
            delivered = await self._delivered()
        finally:
            await self._stop_watching()
            await sender.close()
        return self._summary(total, delivered=delivered)

    async def _send(self, sender: Sender, event: WebhookEvent, total: int) -> None:
        answer = await sender.send(event)
        self._sent.append(event)
        if answer.accepted:
            self._accepted.add(event.id)
        if answer.duplicate is not None and self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        self._tell_sent(event, answer, total)
        if not answer.status:
            if len(self._sent) < total:
                self._output.note(f"Stopped after {len(self._sent)} of {total} events.")
            raise NetworkTrouble(f"{answer.message}{self._mend()}")

    def _mend(self) -> str:
        return " Start the service in another terminal: roombell serve --dev" if self._is_default else ""

    async def _watch(self) -> None:
        """Collects while events are sent: the service shows only its last deliveries."""
        while await self._collect():  # noqa: ASYNC110 - it is another process that is asked
            await asyncio.sleep(POLL_INTERVAL_S)

    async def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    async def _collect(self) -> bool:
        """Whether this is a development service that tells."""
        deliveries = await self._dev.deliveries()
        if deliveries is not None:
            self._arrivals.take(deliveries, self._accepted)
        return deliveries is not None

    async def _delivered(self) -> bool:
        """Shows the deliveries as they arrive. False if this is no development service."""
        if self._watching is None or not self._accepted or not await self._collect():
            return False
        self._output.line("Delivered by the service, in the order of arrival:")
        with self._output.waiting("Waiting for deliveries"):
            await self._until_all_arrived()
        return True

    async def _until_all_arrived(self) -> None:
        loop = asyncio.get_running_loop()
        last_s = loop.time()
        while len(self._arrivals.arrived) < len(self._accepted) and loop.time() - last_s < QUIET_S_MAX:
            if self._tell_arrived():
                last_s = loop.time()
            await asyncio.sleep(POLL_INTERVAL_S)
        self._tell_arrived()

    def _tell_sent(self, event: WebhookEvent, answer: Answer, total: int) -> None:
        style = "green" if answer.accepted else "red"
        width = len(str(total))
        told: list[Part] = [f"  {len(self._sent):>{width}}/{total}  ", (f"{answer.status or 'none'}", style)]
        told += [f"  {event.type:<30}  ", (f"{event.id}  {answer.duration_ms:>4} ms", "dim")]
        told += [("  duplicate", "yellow")] if answer.duplicate else []
        self._output.line(*told, f"  {answer.message}" if answer.message and answer.status else "")
        self._output.record(
            SentRecord(
                event=event.type,
                id=event.id,
                room=event.room_name,
                accepted=answer.accepted,
                status=answer.status,
                duplicate=answer.duplicate,
                duration_ms=answer.duration_ms,
                message=answer.message,
            )
        )

    def _tell_arrived(self) -> int:
        """How many had not been told of before."""
        new = self._arrivals.arrived[self._told :]
        for one in new:
            self._told += 1
            self._tell_delivery(one)
        return len(new)

    def _tell_delivery(self, one: Shown) -> None:
        total = len(self._accepted)
        again = f"  attempt {one.attempt}" if one.attempt not in ("", "1") else ""
        place = f"lane {one.lane} #{one.sequence}{again}"
        verified = ("verified", "green")
        self._output.line(
            f"  {self._told:>{len(str(total))}}/{total}  ", verified, f"  {one.event:<30}  ", (place, "dim")
        )
        self._output.record(
            DeliveredRecord(
                event=one.event,
                id=one.event_id,
                lane=one.lane,
                sequence=one.sequence,
                attempt=one.attempt,
                verified=one.verified,
                received_at_ms=one.received_at_ms,
            )
        )

    def _summary(self, total: int, *, delivered: bool) -> ExitCode:
        arrived = len(self._arrivals.arrived)
        in_order = self._arrivals.in_order(self._sent)
        accepted = len(self._accepted)
        all_well = accepted == total and (not delivered or (arrived == accepted and in_order))
        told = f"{len(self._sent)} sent, {accepted} accepted"
        if delivered:
            told += f", {arrived} delivered, {'in order' if in_order else 'OUT OF ORDER'}, verified"
        self._output.line((f"{told}.", "bold green" if all_well else "bold red"))
        if delivered and arrived < accepted:
            self._output.note(f"Nothing more was delivered for {QUIET_S_MAX:g} s; the service's log says why.")
        self._output.record(
            SummaryRecord(
                events=total,
                sent=len(self._sent),
                accepted=accepted,
                delivered=arrived if delivered else None,
                in_order=in_order if delivered else None,
            )
        )
        return ExitCode.OK if all_well else ExitCode.FAILED
