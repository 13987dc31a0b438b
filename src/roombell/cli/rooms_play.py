"""``roombell rooms play`` and ``roombell rooms scenarios``."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from roombell.cli.exits import ExitCode
from roombell.cli.options import (
    all_sendable,
    chosen_keys,
    config_option,
    json_option,
    key_option,
    secret_option,
    tool_settings,
)
from roombell.cli.output import Output, counted
from roombell.cli.rooms_screen import Screen
from roombell.config import Settings
from roombell.errors import UsageError
from roombell.service.room_webhooks import RoomWebhooks, webhook_endpoints
from roombell.wiring import token_bytes

if TYPE_CHECKING:
    from roombell.rooms.play import Scenario

SPEED_MAX: Final = 100_000.0
DELIVER_TIMEOUT_S: Final = 60.0
"""How long the last webhooks may take when a scenario is over."""
CUT_SHORT_TIMEOUT_S: Final = 2.0
"""The same where it did not come to its end: a mistake in it, or Ctrl-C."""


@click.command(short_help="Play a scenario of what happens in rooms.")
@click.argument("what", metavar="FILE|SCENARIO")
@click.option(
    "--to",
    "urls",
    metavar="URL",
    multiple=True,
    callback=all_sendable,
    help="Where to post the events, signed. May be given again.",
)
@click.option(
    "--speed",
    metavar="FACTOR",
    type=click.FloatRange(0, SPEED_MAX, min_open=True),
    default=1.0,
    show_default=True,
    help="How much faster than in life.",
)
@click.option("--virtual", is_flag=True, help="Without waiting: hours pass in seconds.")
@config_option
@key_option
@secret_option
@json_option
def play(
    *,
    what: str,
    urls: tuple[str, ...],
    speed: float,
    virtual: bool,
    config: Path | None,
    key: str | None,
    secret: str | None,
    as_json: bool,
) -> int:
    """Play a scenario: participants without WebRTC join, publish, drop, record and leave, and the events are told.

    FILE is a YAML scenario; SCENARIO is one of those that `roombell rooms scenarios` lists. The exit code is 0 only if
    every webhook was delivered.
    """
    scenario = _scenario(what)
    settings = tool_settings(config)
    keys = chosen_keys(settings, key, secret)
    settings = msgspec.structs.replace(settings, keys=keys, endpoints=())
    settings = msgspec.structs.replace(settings, endpoints=webhook_endpoints(urls, settings, next(iter(keys))))
    return asyncio.run(_play(scenario, settings, 0.0 if virtual else speed, Screen(Output(json=as_json))))


@click.command(short_help="List the scenarios that come with Roombell.")
@click.option("--show", metavar="NAME", help="Print one as YAML, to begin your own with.")
def scenarios(*, show: str | None) -> int:
    """List the scenarios that come with Roombell, LiveKit's recorded misbehaviours among them."""
    from roombell.rooms.play.shipped import shipped, shipped_names, shipped_text

    output = Output()
    if show is not None:
        shipped(show)
        click.echo(shipped_text(show), nl=False)
        return ExitCode.OK
    for name in shipped_names():
        output.line(f"  {name:<24}  ", (shipped(name).title, "dim"))
    return ExitCode.OK


def _scenario(what: str) -> Scenario:
    """The file of that path, else the shipped scenario of that name."""
    from roombell.rooms.play import load_scenario
    from roombell.rooms.play.shipped import shipped, shipped_names

    path = Path(what)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return load_scenario(path)
    if what in shipped_names():
        return shipped(what)
    raise UsageError(f"There is no file and no scenario {what!r}. To see the scenarios: roombell rooms scenarios")


async def _play(scenario: Scenario, settings: Settings, speed: float, screen: Screen) -> ExitCode:
    """:param speed: 0: without waiting."""
    from roombell.rooms.play import play as played

    webhooks = RoomWebhooks(settings, hooks=(screen.observe,))
    await webhooks.start()
    # Without waiting, it ends now; else events would come from the future.
    start_ms = int(time.time() * 1000) - (0 if speed else scenario.lasts_ms)
    screen.output.note((_told(scenario, speed), "bold"))
    pace, owed, grace_s = _Pace(start_ms, speed), 0, CUT_SHORT_TIMEOUT_S
    try:
        for told in played(scenario, start_ms=start_ms, token_bytes=token_bytes):
            await pace.until(told.at_ms)
            screen.event(told.happened.event, told.at_ms)
            await webhooks.take(told.happened)
            owed += len(settings.endpoints) + len(told.happened.webhooks)
        grace_s = DELIVER_TIMEOUT_S
    finally:
        await webhooks.stop(grace_s=grace_s)
    screen.end()
    return ExitCode.OK if screen.delivered >= owed and not screen.failed else ExitCode.FAILED


def _told(scenario: Scenario, speed: float) -> str:
    runs = "" if scenario.repeat == 1 else f", {scenario.repeat:,} times"
    lasts = f"{scenario.lasts_ms / 1000:,.0f} s"
    if not speed:
        return f"Playing {counted(len(scenario.steps), 'step')}{runs}: {lasts} in no time."
    return (
        f"Playing {counted(len(scenario.steps), 'step')}{runs}: {lasts} in {scenario.lasts_ms / 1000 / speed:,.0f} s."
    )


class _Pace:
    """Lets a scenario's time pass, so many times as fast as it does."""

    def __init__(self, start_ms: int, speed: float) -> None:
        self._start_ms = start_ms
        self._speed = speed
        self._begun_s = time.monotonic()

    async def until(self, at_ms: int) -> None:
        """Returns when it is ``at_ms`` in the scenario."""
        if not self._speed:
            return
        due_s = self._begun_s + (at_ms - self._start_ms) / 1000 / self._speed
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
