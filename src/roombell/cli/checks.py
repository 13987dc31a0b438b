"""What ``roombell doctor`` looks at on this machine: configuration, keys, store, disk, port."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import time
from collections.abc import Iterator
from typing import Final

import msgspec

from roombell.cli.database_checks import check_database
from roombell.cli.findings import Finding, ok, problem, warning
from roombell.cli.http_client import Reply, fetch
from roombell.cli.options import host_to_reach
from roombell.cli.output import counted
from roombell.cli.owed import owed
from roombell.config import DEV_KEYS, Settings, StoreKind, StoreSettings
from roombell.config.keys import SECRET_CHARS_ADVISED, weak_keys
from roombell.errors import ConfigError, StoreError
from roombell.stores.sqlite.inspect import StoreReport, inspect

FREE_BYTES_LOW: Final = 1 << 30
FREE_BYTES_NONE: Final = 64 << 20
_ASK_TIMEOUT_S: Final = 3.0
_MIB: Final = 1 << 20


class _Ready(msgspec.Struct):
    ready: bool
    checks: dict[str, _ReadyCheck]


class _ReadyCheck(msgspec.Struct):
    ok: bool
    message: str


def bad_config(error: ConfigError) -> Finding:
    """The configuration cannot be used, so nothing else can be looked at."""
    return problem("config", str(error), "Mend what it names. docs/reference/configuration.md lists every setting.")


def check_config(settings: Settings) -> Iterator[Finding]:
    """What was read, and what its reader noticed."""
    keys, endpoints = counted(len(settings.keys), "API key"), counted(len(settings.endpoints), "endpoint")
    source = settings.source or ("the development settings" if settings.dev else "the environment")
    yield ok("config", f"{source}: {keys}, {endpoints}.")
    for note in settings.notes:
        if not note.startswith("The secret of API key"):  # told among the keys
            yield warning("config", note, "Change it if this is not what you want.")


def check_keys(settings: Settings) -> Iterator[Finding]:
    """Which keys are easily guessed."""
    weak = () if settings.dev else weak_keys(settings.keys)
    for api_key in weak:
        if settings.keys[api_key] == DEV_KEYS.get(api_key):
            what = f"{api_key} is LiveKit's development key, and everybody knows its secret."
        else:
            what = f"The secret of {api_key} has fewer than {SECRET_CHARS_ADVISED} characters."
        yield warning("keys", what, "Make a new one (openssl rand -base64 36), and give it to the LiveKit server too.")
    fine = [api_key for api_key in settings.keys if api_key not in weak]
    if fine:
        yield ok("keys", f"{', '.join(fine)}{': for development only.' if settings.dev else ': long enough.'}")


def check_store(settings: StoreSettings, now_s: float) -> Iterator[Finding]:
    """Whether the store can be used, who has it open and what it owes."""
    if settings.kind is StoreKind.MEMORY:
        yield warning("store", "It is in memory: everything is lost when the process ends.", "Name a sqlite:/// file.")
        return
    if settings.postgres is not None:
        yield from check_database(settings.postgres, now_s)
        return
    try:
        report = inspect(settings.path)
    except StoreError as error:
        yield problem("store", str(error), "Nothing can be accepted until this is mended.")
        return
    yield ok("store", _store_sentence(report))
    for endpoint in report.endpoints:
        yield from owed(endpoint, now_s)
    yield _check_disk(report)


def _store_sentence(report: StoreReport) -> str:
    if not report.exists:
        return f"{report.path} does not exist yet; it will be made."
    held = f"open in process {report.holder}, as it is while the service runs" if report.holder else "not in use now"
    version = f"version {report.version}"
    if report.version < report.version_newest:
        version += f", which the next start moves up to {report.version_newest}"
    return f"{report.path}: {report.file_bytes / 1024:,.0f} KiB, {version}, {held}."


def _check_disk(report: StoreReport) -> Finding:
    folder = os.path.dirname(report.path)  # noqa: PTH120
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return problem("disk", f"The disk of {folder} cannot be asked: {error.strerror}.", "Look at the system's log.")
    told = f"{free / _MIB:,.0f} MiB are free on the disk of {folder}."
    if free < FREE_BYTES_NONE:
        return problem("disk", told, "Free some space: when there is none, nothing is accepted.")
    if free < FREE_BYTES_LOW:
        return warning("disk", told, "Free some space, or keep events for less time (retention).")
    return ok("disk", told)


def check_port(settings: Settings) -> Iterator[Finding]:
    """Whether the port is free, or taken by Roombell or by a stranger."""
    if settings.port == 0:
        yield ok("port", "0: the service takes a free one.")
        return
    reason = _bind_trouble(settings)
    if not reason:
        yield ok("port", f"{settings.port} is free; the service does not run now.")
        return
    url = f"http://{host_to_reach(settings.bind_addresses)}:{settings.port}"
    if reason != errno.EADDRINUSE:
        told = f"Cannot listen on {', '.join(settings.bind_addresses) or 'any address'}, port {settings.port}"
        yield problem(
            "port", f"{told}: {os.strerror(reason)}.", "Name an address of this machine and a port above 1023."
        )
        return
    yield _who_is_there(url)


def _bind_trouble(settings: Settings) -> int:
    """The system's error number, 0 if all addresses can be listened on."""
    for address in settings.bind_addresses or ("0.0.0.0",):  # noqa: S104 - what the service would bind
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, settings.port))
                probe.listen(1)
            except OSError as error:
                return error.errno or errno.EIO
    return 0


def _who_is_there(url: str) -> Finding:
    reply = fetch("GET", f"{url}/readyz", timeout_s=_ASK_TIMEOUT_S)
    ready = _readiness(reply.body) if isinstance(reply, Reply) else None
    if ready is None:
        what = "answers, but not as Roombell does" if isinstance(reply, Reply) else "does not answer as a web server"
        return problem(
            "port", f"Another program has the port; {url} {what}.", "Stop it, or choose another port for Roombell."
        )
    if ready.ready:
        return ok("port", f"Roombell runs at {url} and is ready.")
    wrong = " ".join(check.message for check in ready.checks.values() if not check.ok)
    return problem(
        "port", f"Roombell runs at {url} and is not ready: {wrong}", "Mend what it says; it recovers itself."
    )


def _readiness(body: bytes) -> _Ready | None:
    try:
        return msgspec.json.decode(body, type=_Ready)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def local_findings(settings: Settings) -> Iterator[Finding]:
    """Everything that is looked at without the network."""
    yield from check_config(settings)
    yield from check_keys(settings)
    yield from check_store(settings.store, time.time())
    yield from check_port(settings)
