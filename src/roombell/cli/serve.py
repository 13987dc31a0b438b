"""``roombell serve``."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from click.core import ParameterSource

from roombell.cli.options import config_option
from roombell.cli.output import Output, counted
from roombell.cli.serving import Serving
from roombell.config import DEV_KEYS, Role, Settings, load
from roombell.errors import UsageError
from roombell.service.dev_rooms import LIVEKIT_PORT, DevRooms
from roombell.service.logs import LogFormat, Logs
from roombell.wiring import SystemClock

_log = logging.getLogger("roombell.serve")
GC_THRESHOLD = 20_000
"""Allocations between two collections of the youngest generation."""
_LEVELS = ("debug", "info", "warning", "error")


@click.command(short_help="Run the service.")
@config_option
@click.option("--dev", is_flag=True, help="For development: needs no configuration, and shows what it delivers.")
@click.option(
    "--port", metavar="PORT", type=click.IntRange(0, 65535), help="Wins over the configured port; 0 takes a free one."
)
@click.option("--ingest-only", is_flag=True, help="Take webhooks and deliver none; others on the same PostgreSQL do.")
@click.option("--deliver-only", is_flag=True, help="Deliver and take no webhooks; others on the same PostgreSQL do.")
@click.option(
    "--rooms-port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=LIVEKIT_PORT,
    show_default=True,
    help="With --dev: where LiveKit clients join rooms; 0 takes a free port.",
)
@click.option("--no-rooms", is_flag=True, help="With --dev: no rooms, as a real LiveKit server is to be used.")
@click.option(
    "--log-format",
    type=click.Choice([form.value for form in LogFormat]),
    default=LogFormat.AUTO.value,
    show_default=True,
    help="How the log on stderr looks; auto is text on a terminal and with --dev, and JSON elsewhere.",
)
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", show_default=True, help="What is logged.")
def serve(
    *,
    config: Path | None,
    dev: bool,
    port: int | None,
    ingest_only: bool,
    deliver_only: bool,
    rooms_port: int,
    no_rooms: bool,
    log_format: str,
    log_level: str,
) -> int:
    """Take webhooks and deliver them until they have arrived.

    SIGTERM and Ctrl-C stop it gracefully, a second one at once. SIGHUP reads keys and endpoints anew.
    """
    role = _role(ingest_only=ingest_only, deliver_only=deliver_only)
    _check_rooms(dev=dev, no_rooms=no_rooms)

    def read() -> Settings:
        settings = msgspec.structs.replace(load(config, os.environ, dev=dev), role=role)
        return settings if port is None else msgspec.structs.replace(settings, port=port)

    settings = read()
    form = LogFormat(log_format)
    if dev and form is LogFormat.AUTO:
        form = LogFormat.TEXT
    logs = Logs(SystemClock().now_ms, form=form, level=log_level)
    try:
        return _run(settings, read, logs, rooms_port if dev and not no_rooms else None)
    finally:
        logs.close()


def _check_rooms(*, dev: bool, no_rooms: bool) -> None:
    is_port_given = click.get_current_context().get_parameter_source("rooms_port") is ParameterSource.COMMANDLINE
    if not dev and (is_port_given or no_rooms):
        option = "--rooms-port" if is_port_given else "--no-rooms"
        raise UsageError(f"{option} goes with --dev: there are no rooms without. `roombell rooms` runs them alone.")


def _role(*, ingest_only: bool, deliver_only: bool) -> Role:
    if ingest_only and deliver_only:
        raise UsageError("--ingest-only and --deliver-only exclude each other; a worker that does both has neither.")
    if ingest_only:
        return Role.INGEST
    return Role.DELIVER if deliver_only else Role.ALL


def _run(settings: Settings, read: Callable[[], Settings], logs: Logs, rooms_port: int | None) -> int:
    for note in settings.notes:
        _log.warning("%s", note)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, read, logs, rooms_port))


async def _serve(settings: Settings, read: Callable[[], Settings], logs: Logs, rooms_port: int | None) -> int:
    serving = Serving(settings, read, logs, rooms_port)

    def started() -> None:
        settle_garbage()
        if settings.dev:
            _announce_dev(settings, serving.url, serving.rooms)
        else:
            _announce(settings, serving.url)

    return await serving.run(started)


def settle_garbage() -> None:
    """What is alive at the start stays alive: the collector need not look through it again and again.

    Records that come and go by the thousand are freed by their reference counts; cycles are few, so collections can be
    seldom. Measured: 5 to 10 % of the time per event.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


def _announce(settings: Settings, url: str) -> None:
    owed = counted(len(settings.endpoints), "endpoint")
    _log.info("Listening on %s: %s, the store is %s.", url, owed, settings.store.url)
    if settings.role is Role.DELIVER:
        _log.info("This worker only delivers: it answers webhooks with 503.")
        return
    if settings.role is Role.INGEST:
        _log.info("This worker delivers nothing: others on the same store do.")
    _log.info("Point LiveKit's webhook.urls at %s/webhook. To check this setup: roombell doctor", url)


def _announce_dev(settings: Settings, url: str, rooms: DevRooms | None) -> None:
    """What to do next. The key pair is shown only where it is LiveKit's public one."""
    output = Output()
    port = url.rpartition(":")[2]
    key = next(iter(settings.keys))
    pair = f"{key} / {DEV_KEYS[key]}" if dict(settings.keys) == dict(DEV_KEYS) else f"{', '.join(settings.keys)}"
    to = "" if port == "7890" else f" --to {url}/webhook"
    has_rooms = rooms is not None and rooms.port != 0
    lines = (
        ("Page", url, "join a room, and see what was delivered" if has_rooms else "what was delivered"),
        *_about_rooms(url, rooms),
        ("Webhooks", f"{url}/webhook", "for LiveKit's webhook.urls"),
        ("Key", pair, "livekit-server --dev has the same" if "/" in pair else "from your configuration"),
        ("Store", settings.store.url, ""),
    )
    first = "Roombell has rooms, takes webhooks" if has_rooms else "Roombell takes webhooks"
    output.line((f"{first} and delivers them to its own page.", "bold"))
    for name, value, remark in lines:
        output.line(f"  {name:<9}", (f"{value:<34}", "cyan"), (remark, "dim"))
    output.line("Next, in another terminal: ", (f"{this_program(sys.argv[0])} trigger call{to}", "bold"))


def this_program(started_as: str) -> str:
    """What starts this program in a shell: with its path where it is not on ``PATH``, as in a clone's environment."""
    path = Path(started_as)
    if shutil.which("roombell") is not None or path.name != "roombell":
        return "roombell"
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _about_rooms(url: str, rooms: DevRooms | None) -> tuple[tuple[str, str, str], ...]:
    if rooms is None:
        return ()
    if not rooms.port:
        return (("Rooms", "none", rooms.why_off),)
    host = url.removeprefix("http://").rpartition(":")[0]
    return (("Rooms", f"ws://{host}:{rooms.port}", "for LiveKit's clients and server SDKs"),)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not to be had on every system
        return asyncio.new_event_loop
    return uvloop.new_event_loop
