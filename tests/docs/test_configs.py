"""Configuration files, commands and rules in the documentation are ones that the programs take."""

from __future__ import annotations

import configparser
import random
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from roombell.cli.app import cli
from roombell.config import parse
from roombell.rooms.play import parse_scenario, play
from roombell.service.metric_table import METRICS, MetricKind
from support.certificates import Certificates
from support.markdown import Block, blocks

VARIABLES = {"PROXY_PASSWORD": "p%40ss", "APP_WEBHOOK_SECRET": "whsec_" + "c2VjcmV0" * 5}
"""What configurations in the documentation take from the environment."""
SUFFIXES = {MetricKind.HISTOGRAM: ("_bucket", "_count", "_sum")}
PROMETHEUS_NAME = re.compile(r"\b(?:roombell|livekit)_\w+\b")


def each(*languages: str, marked: str = "") -> list:
    chosen = [block for block in blocks(*languages) if not marked or marked in block.directives]
    return [pytest.param(block, id=str(block)) for block in chosen]


def metric_names() -> set[str]:
    """Every name that a query may use."""
    return {metric.name + suffix for metric in METRICS for suffix in ("", *SUFFIXES.get(metric.kind, ()))}


@pytest.mark.parametrize("block", each("yaml"))
def test_a_yaml_block_says_whose_file_it_is(block: Block) -> None:
    assert len({"config", "livekit", "compose", "prometheus", "scenario"} & set(block.directives)) == 1 or "decisions" in str(block) \
        or block.page.name == "configuration.md"  # fmt: skip


@pytest.mark.parametrize("block", [*each("yaml", marked="config"), *each("yaml", marked="livekit")])
def test_a_configuration_in_the_documentation_is_taken(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pki = Certificates(tmp_path)
    pki.client("client")
    pki.file("company-ca.pem", pki.ca)
    settings = parse(block.text, source=str(block), environ=VARIABLES)
    assert settings.endpoints or "livekit" in block.directives


@pytest.mark.parametrize("block", each("yaml", marked="scenario"))
def test_a_scenario_in_the_documentation_plays_to_its_end(block: Block) -> None:
    scenario = parse_scenario(block.text, source=str(block))
    told = list(play(scenario, start_ms=1_790_000_000_000, token_bytes=random.Random(1).randbytes))
    assert told[-1].happened.event.type == "room_finished"


@pytest.mark.parametrize("block", each("yaml", marked="compose"))
def test_a_compose_file_carries_a_configuration_that_is_taken(block: Block) -> None:
    document = yaml.safe_load(block.text)
    assert set(document) <= {"services", "configs", "volumes", "secrets"}
    for name, one in document.get("configs", {}).items():
        assert parse(one["content"], source=f"{block} {name}", environ={}).endpoints
    named = {volume.split(":")[0] for service in document["services"].values() for volume in service.get("volumes", ())}
    assert named == set(document.get("volumes", {}))


@pytest.mark.parametrize("block", each("yaml", marked="prometheus"))
def test_alerts_name_metrics_that_exist(block: Block) -> None:
    rules = [rule for group in yaml.safe_load(block.text)["groups"] for rule in group["rules"]]
    for rule in rules:
        assert {"alert", "expr", "labels", "annotations"} <= set(rule)
        used = set(PROMETHEUS_NAME.findall(rule["expr"]))
        assert used <= metric_names(), rule["alert"]
        assert used or "up{" in rule["expr"]


def test_pages_name_only_metrics_that_exist() -> None:
    for block in blocks("text", "sh"):
        for name in re.findall(r"\b(?:roombell_[a-z]+_[a-z_]+|livekit_webhook_\w+)\b", block.text):
            assert name in metric_names(), str(block)


def commands(text: str) -> list[list[str]]:
    """The arguments of every call of ``roombell`` in a shell script, a unit file or a compose file."""
    joined = text.replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        for match in re.finditer(rf"(?:^|[\s/;|])roombell ((?:{'|'.join(cli.commands)}|--)[^|>;&]*)", line):
            found.append(shlex.split(match[1], comments=True))
    return found


@pytest.mark.parametrize("block", each("sh", "ini"))
def test_a_command_in_the_documentation_is_one_that_the_program_knows(block: Block) -> None:
    for arguments in commands(block.text):
        if arguments[0].startswith("-"):
            continue
        command: click.Command = cli.commands[arguments[0]]
        rest = arguments[1:]
        while isinstance(command, click.Group) and rest and rest[0] in command.commands:
            command, rest = command.commands[rest[0]], rest[1:]
        try:
            command.make_context(arguments[0], rest)
        except click.ClickException as error:
            pytest.fail(f"{' '.join(arguments)}: {error.format_message()}")


def test_commands_are_found_in_the_documentation() -> None:
    assert {arguments[0] for block in blocks("sh", "ini") for arguments in commands(block.text)} >= set(cli.commands)


@pytest.mark.parametrize("block", each("ini", marked="systemd"))
def test_a_unit_file_reloads_and_waits_for_a_graceful_stop(block: Block) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block.text)
    service = unit["Service"]
    assert "HUP" in service["ExecReload"]
    assert int(service["TimeoutStopSec"]) > 30
    assert commands(service["ExecStart"])


NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@pytest.mark.skipif(NGINX is None, reason="nginx is not here")
@pytest.mark.parametrize("block", each("nginx"))
def test_an_nginx_file_is_valid(block: Block, tmp_path: Path) -> None:
    text = re.sub(r"^.*ssl_certificate.*\n", "", block.text, flags=re.MULTILINE)
    text = re.sub(r"listen \S*443 ssl;", "listen 127.0.0.1:8443;", text)
    config = tmp_path / "nginx.conf"
    config.write_text(f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {text} }}", encoding="utf-8")
    assert NGINX is not None
    told = subprocess.run(
        [NGINX, "-t", "-p", str(tmp_path), "-e", "stderr", "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
