"""What ``roombell doctor`` looks at in a store on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from roombell.cli.findings import Finding, ok, problem, warning
from roombell.cli.output import counted
from roombell.cli.owed import owed
from roombell.errors import StoreError
from roombell.stores.postgres.url import PostgresUrl
from roombell.wiring import inspect_database

CLOCK_OFF_S_MAX = 30
"""Roombell goes by the database's clock; whoever reads logs beside it should know."""


def check_database(url: PostgresUrl, now_s: float) -> Iterator[Finding]:
    """Whether the database can be used, how it keeps what it is given, and who works on it."""
    try:
        report = asyncio.run(inspect_database(url))
    except StoreError as error:
        yield problem("store", str(error), "Nothing can be accepted until this is mended.")
        return
    version = f"version {report.version}" if report.version else "no store yet; the first start makes it"
    if 0 < report.version < report.version_newest:
        version += f", which the next start moves up to {report.version_newest}"
    workers = counted(report.workers, "worker")
    yield ok("store", f"{report.where} {version}; PostgreSQL {report.server}; {workers} on it now.")
    for endpoint in report.endpoints:
        yield from owed(endpoint, report.now_ms / 1000)
    if not report.takes_writes:
        yield problem(
            "store: read-only",
            "It takes no writes: it is a standby, or default_transaction_read_only is on.",
            "Name the primary, or all hosts with target_session_attrs=read-write.",
        )
    if not report.fsync:
        yield problem("store: fsync", "fsync is off: a crash of the server loses events that were taken.", "Set it on.")
    if report.synchronous_commit == "off":
        yield warning(
            "store: synchronous_commit",
            "It is off for this user; Roombell turns it on for its own transactions.",
            "Set it on, or to remote_write or remote_apply where a standby must have what was taken.",
        )
    if abs(report.now_ms / 1000 - now_s) > CLOCK_OFF_S_MAX:
        yield warning(
            "store: clock",
            f"The database's clock is {report.now_ms / 1000 - now_s:+.0f} s from this machine's.",
            "Roombell goes by the database's. Set the one that is wrong.",
        )
