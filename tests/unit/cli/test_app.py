"""How commands end: exit codes, sentences, pipes; and that the reference page is true."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

import roombell.cli
from roombell import __version__
from roombell.cli.app import cli as group
from roombell.cli.exits import MEANINGS, ExitCode, NetworkTrouble, exit_code_of
from roombell.errors import ConfigError, EventError, RoombellError, StoreFull, StoreLocked, UsageError

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(roombell.cli, "find_spec", lambda name: None if name == "click" else object())
    assert roombell.cli.main() == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.err == 'The command line needs more than the library: pip install "roombell[server]"\n'
    assert captured.out == ""


def test_the_entry_point_imports_neither_click_nor_rich(clean_place):
    program = "import sys, roombell.cli; sys.exit(bool({'click', 'rich', 'yaml'} & set(sys.modules)))"
    source = str(Path(roombell.__file__).parents[1])
    ended = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": source}, check=False)
    assert ended.returncode == 0


async def test_the_version_is_the_library_s(cli):
    assert (await cli("--version")).out == f"roombell {__version__}\n"


def test_the_installed_command_is_this_one():
    try:
        scripts = importlib.metadata.distribution("roombell").entry_points
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed here")
    assert [one.value for one in scripts if one.group == "console_scripts"] == ["roombell.cli:main"]


async def test_help_tells_every_exit_code(cli):
    told = (await cli("--help")).out
    for code, meaning in MEANINGS.items():
        assert re.search(rf"^ +{code.value}  {re.escape(meaning)}$", told, re.MULTILINE)


async def test_no_command_at_all_shows_the_help(cli):
    ended = await cli()
    assert ended.code == ExitCode.USAGE
    assert "Commands:" in ended.out + ended.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("wrong"), 3),
        (StoreLocked("held"), 4),
        (StoreFull("full"), 4),
        (NetworkTrouble("refused"), 5),
        (UsageError("wrong"), 2),
        (EventError("none"), 1),
        (RoombellError("other"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_an_error_s_kind_is_its_exit_code(error, code):
    assert exit_code_of(error) == code


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("nonsense",), 2, "No such command"),
        (("serve", "--port", "70000"), 2, "70000"),
        (("serve",), 3, "no configuration file was named: --config does; --dev needs none"),
        (("serve", "--config", "missing.yaml"), 3, "missing.yaml: the file cannot be read: No such file or directory"),
        (("serve", "--config", "bad.yaml"), 3, "bad.yaml:2: endpoints[0].urll: there is no such setting; did you mean"),
        (("serve", "--config", "binary.yaml"), 3, "binary.yaml:1: the file is not UTF-8"),
        (("serve", "--config", "."), 3, "Is a directory"),
        (("trigger",), 2, "roombell trigger --list"),
        (("trigger", "participant_join"), 2, "Did you mean participant_joined?"),
        (("trigger", "roomstarted"), 2, "Did you mean room_started?"),
        (("trigger", "xyz"), 2, "roombell trigger --list"),
        (("endpoints", "--key", "a"), 2, "There is no secret for API key 'a'; there is for: devkey."),
        (("deliveries",), 4, "and no service listens at http://127.0.0.1:9. Nothing is configured here"),
        (("endpoints", "--key", "a", "--secret", "b"), 4, "and no service listens at http://127.0.0.1:9.\n"),
        (("trigger", "call", "--to", "app.example.com/hook"), 2, "--to: The URL is not absolute"),
        (("trigger", "call", "--secret", "s"), 2, "--secret needs --key"),
        (("trigger", "call", "--key", "other"), 2, "There is no secret for API key 'other'; there is for: devkey."),
        (("trigger", "call", "--count", "0"), 2, "0"),
        (("trigger", "call", "--room", "\udcff"), 2, "--room is not valid UTF-8 text"),
        (("trigger", "call", "--key", "a", "--secret", "\udcff"), 2, "not valid Unicode"),
        (("listen", "--host", "nonsense"), 2, "--host is 'nonsense'; it must be an IP address"),
        (("listen", "--forward-to", "ftp://x/"), 2, "webhooks go to http or https"),
        (("listen", "--forward-to", "x"), 2, "--forward-to: The URL is not absolute"),
        (("rooms", "--webhook", "x"), 2, "--webhook: The URL is not absolute"),
        (("rooms", "play", "call", "--virtual", "--to", "x"), 2, "--to: The URL is not absolute"),
        (("endpoints", "--service", "x"), 2, "--service: The URL is not absolute"),
        (("verify",), 2, "--body FILE with --authorization VALUE, or --request FILE"),
        (("verify", "--body", "missing"), 2, "missing cannot be read: No such file or directory."),
        (("verify", "--body", "bad.yaml", "--request", "bad.yaml"), 2, "leave the other options out"),
        (("verify", "--request", "bad.yaml"), 2, "no empty line"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_what_goes_wrong_on_the_first_day_is_told_in_a_sentence(
    cli, clean_place, monkeypatch, arguments, code, sentence
):
    monkeypatch.setenv("ROOMBELL_PORT", "9")  # where nothing listens
    (clean_place / "bad.yaml").write_text("keys: {a: hush}\nendpoints: [{name: x, urll: y}]\n")
    (clean_place / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    ended = await cli(*arguments)
    assert ended.code == code
    assert sentence in ended.err
    assert "Traceback" not in ended.err
    assert "hush" not in ended.err


async def ended_with_stdout(stdout: int, *arguments: str) -> tuple[int | None, str]:
    """The exit code and what stderr was told."""
    source = str(Path(roombell.__file__).parents[1])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "roombell.cli", *arguments,
        env={**os.environ, "PYTHONPATH": source}, stdout=stdout, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    os.close(stdout)
    _, told = await process.communicate()
    return process.returncode, told.decode()


@pytest.mark.parametrize("arguments", [("trigger", "--list"), ("doctor", "--dev", "--json")], ids=" ".join)
async def test_a_reader_that_leaves_ends_a_command_quietly(arguments):
    read_end, write_end = os.pipe()
    os.close(read_end)
    assert await ended_with_stdout(write_end, *arguments) == (ExitCode.BROKEN_PIPE, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [("trigger", "--list"), ("doctor", "--dev", "--json")], ids=" ".join)
async def test_a_full_disk_under_the_output_is_told_in_a_sentence(arguments):
    full = os.open("/dev/full", os.O_WRONLY)
    told = "Error: The output cannot be written: No space left on device.\n"
    assert await ended_with_stdout(full, *arguments) == (ExitCode.FAILED, told)


async def test_ctrl_c_ends_a_command_quietly(start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        running = await start("trigger", "call", "--to", f"http://127.0.0.1:{silent.getsockname()[1]}/webhook")
        await running.until("Sending 15 events")
        assert await running.stop(signal.SIGINT) == ExitCode.INTERRUPTED
    assert "Traceback" not in "\n".join(running.lines)


# The reference page


def section(name: str) -> str:
    return re.split(r"^## ", PAGE.read_text(encoding="utf-8").split(f"## roombell {name}\n", 1)[1], flags=re.MULTILINE)[
        0
    ]


def commands(parent: click.Group, prefix: str = "") -> dict[str, click.Command]:
    """Every command by its name, those of groups after their group."""
    found: dict[str, click.Command] = {}
    for name, command in parent.commands.items():
        found[f"{prefix}{name}"] = command
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
    return found


def test_the_page_has_exactly_the_commands_that_there_are():
    assert re.findall(r"^## roombell (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE) == list(commands(group))


@pytest.mark.parametrize("name", commands(group))
def test_the_page_has_exactly_the_options_that_there_are(name):
    rows = re.findall(r"^\| `(--[^`]*)` \| (.*) \|$", section(name), re.MULTILINE)
    assert rows == [row(option) for option in commands(group)[name].params if isinstance(option, click.Option)]


def row(option: click.Option) -> tuple[str, str]:
    (name,) = option.opts
    value = r"\|".join(option.type.choices) if isinstance(option.type, click.Choice) else option.metavar
    default = f" Default: `{option.default}`." if option.show_default else ""
    return (name if option.is_flag else f"{name} {value}", f"{option.help}{default}")


def test_the_page_has_exactly_the_exit_codes_that_there_are():
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(str(code.value), meaning) for code, meaning in MEANINGS.items()]
