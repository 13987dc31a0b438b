"""``roombell rooms``: a LiveKit-compatible room server for tests, and scenarios of what happens in rooms."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from roombell.cli.exits import ExitCode
from roombell.cli.options import (
    all_sendable,
    cannot_listen,
    chosen_keys,
    config_option,
    host_to_reach,
    json_option,
    key_option,
    secret_option,
    tool_settings,
)
from roombell.cli.output import Output, counted
from roombell.cli.rooms_play import play, scenarios
from roombell.cli.rooms_screen import Screen
from roombell.cli.signals import stop_signal
from roombell.config import Keys, Settings
from roombell.errors import ConfigError, UsageError
from roombell.service.room_webhooks import RoomWebhooks, webhook_endpoints

if TYPE_CHECKING:
    from roombell.rooms.effects import Happened

LIVEKIT_PORT: Final = 7880
STOP_TIMEOUT_S: Final = 10.0
"""How long the last webhooks may take when the server stops."""


@click.group(invoke_without_command=True, short_help="Run a LiveKit-compatible room server for tests.")
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=LIVEKIT_PORT,
    show_default=True,
    help="Where clients and SDKs connect; 0 takes a free one.",
)
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="0.0.0.0 for other machines.")
@click.option(
    "--webhook",
    "webhooks",
    metavar="URL",
    multiple=True,
    callback=all_sendable,
    help="Where room events go. May be given again.",
)
@config_option
@key_option
@secret_option
@json_option
@click.pass_context
def rooms(
    context: click.Context,
    *,
    port: int,
    host: str,
    webhooks: tuple[str, ...],
    config: Path | None,
    key: str | None,
    secret: str | None,
    as_json: bool,
) -> int | None:
    """Run a LiveKit-compatible room server: real clients join it, real SDKs steer it, and its webhooks are real.

    For tests and development, with a handful of participants on one machine. It keeps nothing. Without a command it
    serves until Ctrl-C, shows each event, and posts it to --webhook and to the endpoints of --config. LiveKit's own
    configuration file will do.
    """
    if context.invoked_subcommand is not None:
        return None
    settings = tool_settings(config)
    keys = chosen_keys(settings, key, secret)
    signer = next(iter(keys))
    settings = msgspec.structs.replace(settings, keys=Keys({**settings.keys, **keys}))
    settings = msgspec.structs.replace(settings, endpoints=webhook_endpoints(webhooks, settings, signer))
    return asyncio.run(_serve(settings, signer, (host, port), Screen(Output(json=as_json))))


rooms.add_command(play)
rooms.add_command(scenarios)


async def _serve(settings: Settings, signer: str, address: tuple[str, int], screen: Screen) -> ExitCode:
    try:
        from roombell.rooms.server import RoomServer
    except ImportError as error:
        raise UsageError(
            f"The room server needs more than is installed ({error}): pip install 'roombell[rooms]'"
        ) from None
    logging.getLogger("aioice").setLevel(logging.WARNING)  # it tells of each address of each client
    webhooks = RoomWebhooks(settings, hooks=(screen.observe,))

    async def on_event(happened: Happened) -> None:
        screen.event(happened.event, int(time.time() * 1000))
        await webhooks.take(happened)

    host, port = address
    server = RoomServer(events=on_event, keys=settings.keys, host=host, port=port)
    stopped_by = stop_signal()
    await webhooks.start()
    try:
        await server.start()
        _announce(screen.output, settings, signer, f"http://{host_to_reach((host,))}:{server.port}")
        number = await stopped_by
    except ConfigError as error:
        mend = "A LiveKit server may run there: --port takes another port. --host takes an address of this machine."
        raise cannot_listen(error, mend) from None
    finally:
        await server.stop()
        await webhooks.stop(grace_s=STOP_TIMEOUT_S)
    screen.end()
    return ExitCode.INTERRUPTED if number is signal.SIGINT else ExitCode.OK


def _announce(output: Output, settings: Settings, signer: str, url: str) -> None:
    from roombell.rooms.server import DEV_KEYS

    is_public = dict(settings.keys) == dict(DEV_KEYS)
    pair = f"{signer} / {settings.keys[signer]}" if is_public else ", ".join(settings.keys)
    output.note(("A LiveKit-compatible room server, for development and tests. It keeps nothing.", "bold"))
    output.note("  LIVEKIT_URL  ", (url, "cyan"), (f"  (clients: {url.replace('http', 'ws', 1)})", "dim"))
    output.note("  API key      ", (pair, "cyan"))
    endpoints = (
        counted(len(settings.endpoints), "endpoint") if settings.endpoints else "nowhere; --webhook URL names one"
    )
    output.note("  Webhooks to  ", (endpoints, "cyan"))
