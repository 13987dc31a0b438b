"""``roombell doctor``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from roombell.cli.checks import bad_config, local_findings
from roombell.cli.exits import ExitCode
from roombell.cli.findings import Finding, Status
from roombell.cli.options import config_option, json_option
from roombell.cli.output import Output, counted
from roombell.cli.reach import check_endpoint
from roombell.config import Settings, load
from roombell.errors import ConfigError

_AT_ONCE = 16
_STYLES = {Status.OK: "green", Status.WARNING: "yellow", Status.PROBLEM: "bold red"}
_INDENT = " " * 9


@click.command(short_help="Check the setup, from configuration to endpoints.")
@config_option
@click.option("--dev", is_flag=True, help="Check what serve --dev would use.")
@json_option
def doctor(*, config: Path | None, dev: bool, as_json: bool) -> int:
    """Check configuration, keys, store, disk, port, clock, and whether each endpoint can be reached.

    Sends no event and changes nothing. The exit code is 1 if there is any problem.
    """
    output = Output(json=as_json)
    found: Counter[Status] = Counter()
    with output.waiting("Checking"):
        for finding in _findings(config, dev=dev):
            found[finding.status] += 1
            _tell(output, finding)
    _summary(output, found)
    return ExitCode.FAILED if found[Status.PROBLEM] else ExitCode.OK


def _findings(config: Path | None, *, dev: bool) -> Iterator[Finding]:
    try:
        settings = load(config, os.environ, dev=dev)
    except ConfigError as error:
        yield bad_config(error)
        return
    yield from local_findings(settings)
    yield from _remote_findings(settings)


def _remote_findings(settings: Settings) -> Iterator[Finding]:
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="roombell doctor") as pool:
        for findings in pool.map(lambda endpoint: check_endpoint(endpoint, settings), settings.destinations):
            yield from findings


def _tell(output: Output, finding: Finding) -> None:
    output.record(finding)
    output.line(
        (f"{finding.status.value:<9}", _STYLES[finding.status]), (f"{finding.check}: ", "bold"), finding.message
    )
    if finding.mend:
        output.line(_INDENT, ("mend: ", "dim"), finding.mend)


def _summary(output: Output, found: Counter[Status]) -> None:
    style = "bold red" if found[Status.PROBLEM] else "bold green"
    warnings, problems = counted(found[Status.WARNING], "warning"), counted(found[Status.PROBLEM], "problem")
    output.line((f"{found[Status.OK]} ok, {warnings}, {problems}.", style))
