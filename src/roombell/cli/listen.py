"""``roombell listen``."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import time
from pathlib import Path

import click

from roombell.cli.exits import ExitCode
from roombell.cli.listening import FORWARD_TIMEOUT_S, AnyPath, Listener, Received
from roombell.cli.options import (
    cannot_listen,
    chosen_keys,
    config_option,
    host_to_reach,
    json_option,
    key_option,
    secret_option,
    sendable,
    tool_settings,
)
from roombell.cli.output import Output, Part
from roombell.cli.signals import stop_signal
from roombell.config import Keys
from roombell.errors import ConfigError, UsageError
from roombell.service.http import HttpServer
from roombell.service.limits import HttpLimits
from roombell.signing import KeyRing
from roombell.transport.url import parse_url
from roombell.wiring import SystemClock

_STOP_S = 5.0
_BODY_BYTES_MAX = 64 << 20


@click.command(short_help="Receive webhooks and show them.")
@click.option(
    "--port", metavar="PORT", type=click.IntRange(0, 65535), default=7891, show_default=True, help="0 takes a free one."
)
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="0.0.0.0 for other machines.")
@click.option(
    "--forward-to",
    metavar="URL",
    callback=sendable,
    help="Hand each webhook on, unchanged, and answer with its answer.",
)
@config_option
@key_option
@secret_option
@json_option
def listen(
    *,
    port: int,
    host: str,
    forward_to: str | None,
    config: Path | None,
    key: str | None,
    secret: str | None,
    as_json: bool,
) -> int:
    """Receive webhooks on any path, verify them and show them as they come.

    Notices holes in Webhook-Sequence. What is not verified is shown with the reason, and answered 401, or handed on
    all the same. Ends with Ctrl-C.
    """
    _check_address(host)
    keys = chosen_keys(tool_settings(config), key, secret)
    screen = _Screen(Output(json=as_json), f" --config {config}" if config is not None else "")
    return asyncio.run(_listen(screen, keys, (host, port), forward_to or ""))


def _check_address(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise UsageError(
            f"--host is {host!r}; it must be an IP address of this machine, such as 127.0.0.1, or 0.0.0.0 for all."
        ) from None


async def _listen(screen: _Screen, keys: Keys, address: tuple[str, int], forward_to: str) -> ExitCode:
    host, port = address
    clock = SystemClock()
    listener = Listener(KeyRing(keys), clock, screen.show, forward_to)
    limits = HttpLimits(body_bytes_max=_BODY_BYTES_MAX, answer_s=2 * FORWARD_TIMEOUT_S + _STOP_S)
    server = HttpServer(AnyPath(listener.receive), clock, limits)
    stopped_by = stop_signal()
    try:
        await server.start((host,), port)
        screen.begin(f"http://{host_to_reach((host,))}:{server.port}", keys, forward_to)
        number = await stopped_by
    except ConfigError as error:
        raise cannot_listen(error, "Choose another with --port.") from None
    finally:
        await server.stop(_STOP_S)
        listener.close()
    screen.end()
    return ExitCode.INTERRUPTED if number is signal.SIGINT else ExitCode.OK


class _Screen:
    """What a person sees of it."""

    def __init__(self, output: Output, options: str) -> None:
        self._output = output
        self._options = options
        """What `roombell trigger` needs to sign with a key that is known here."""
        self._received = self._verified = self._missing = 0

    def begin(self, url: str, keys: Keys, forward_to: str) -> None:
        names = ", ".join(keys)
        then = f", handing them on to {parse_url(forward_to).origin}" if forward_to else ""
        self._output.note(f"Listening on {url} for webhooks signed with {names}{then}. Ctrl-C ends it.")
        self._output.note(("To try it: ", "dim"), f"roombell trigger call --to {url}{self._options}")

    def show(self, one: Received) -> None:
        """One line, and another before it where something is missing."""
        self._received += 1
        self._verified += one.verified
        self._missing += one.missing
        self._output.record(one)
        if one.missing:
            before = (
                f"{one.missing} missing before #{one.sequence} of lane {one.lane}: abandoned by the sender, or lost"
            )
            self._output.line(_time(one), ("gap", "bold yellow"), f"           {before}")
        self._output.line(_time(one), *_verdict(one), *_about(one), *_forwarded(one))

    def end(self) -> None:
        told = f"{self._received} received, {self._verified} verified, {self._missing} missing"
        self._output.note(f"{told}.")


def _time(one: Received) -> Part:
    seconds, rest_ms = divmod(one.received_at_ms, 1000)
    return (f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest_ms:03d}  ", "dim")


def _verdict(one: Received) -> tuple[Part, ...]:
    verdict = ("verified      ", "green") if one.verified else ("NOT VERIFIED  ", "bold red")
    return (verdict, (f"{one.event or 'no event':<30}", "bold" if one.verified else "dim"))


def _about(one: Received) -> tuple[Part, ...]:
    if not one.verified:
        return (f"  {one.error}",)
    names = ("room", "participant", "track", "egress", "ingress", "id")
    values = (one.room, one.participant, one.track, one.egress, one.ingress, one.id)
    told = "".join(f"  {name}={value}" for name, value in zip(names, values, strict=True) if value)
    place = f"  #{one.sequence}" if one.sequence else ""
    again = f"  attempt {one.attempt}" if one.attempt > 1 else ""
    return (told, (f"{place}{again}", "dim"), ("  repeated", "yellow") if one.repeated else "")


def _forwarded(one: Received) -> tuple[Part, ...]:
    if one.forwarded is None:
        return ()
    if one.forwarded.error:
        return ("  -> ", (f"{one.forwarded.status}: {one.forwarded.error}", "bold red"))
    style = "green" if 200 <= one.forwarded.status < 300 else "bold red"  # noqa: PLR2004
    return ("  -> ", (str(one.forwarded.status), style), (f" in {one.forwarded.duration_ms} ms", "dim"))
