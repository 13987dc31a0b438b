"""The fixture as a user has it: in a test run of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from roombell.rooms.captured import NotCaptured
from roombell.rooms.threaded import LiveKitServer
from support.markdown import DOCS, page_blocks

RUN_S_MAX = 90


def run(folder: Path, source: str, *before: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(source)
    command = [
        sys.executable,
        *(before or ["-m", "pytest"]),
        "-q",
        "-W",
        "error",
        "-o",
        "asyncio_mode=auto",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=RUN_S_MAX, check=False)


def test_the_example_in_the_documentation_passes(tmp_path: Path) -> None:
    (example,) = [one.text for one in page_blocks(DOCS / "how-to" / "rooms.md") if "def test_" in one.text]
    done = run(tmp_path, example)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_each_test_has_a_server_of_its_own_and_nothing_of_it_is_imported_before(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
import sys
import urllib.request

urls = set()

def test_none():
    assert not {"aiortc", "av", "aiohttp", "roombell.rooms.server"} & set(sys.modules)

def test_one(livekit_server):
    urls.add(livekit_server.http_url)
    assert urllib.request.urlopen(livekit_server.http_url).read() == b"OK"
    assert livekit_server.webhooks.all == ()

def test_another(livekit_server):
    urls.add(livekit_server.http_url)
    assert len(urls) == 2
""",
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_without_the_extra_the_fixture_says_what_to_install(tmp_path: Path) -> None:
    hide = "import sys, pytest; sys.modules['aiortc'] = None; sys.exit(pytest.main(sys.argv[1:]))"
    done = run(tmp_path, "def test_it(livekit_server): pass", "-c", hide)
    assert "pip install 'roombell[rooms]'" in done.stdout, done.stdout + done.stderr
    assert "1 error" in done.stdout


def test_what_is_waited_for_in_vain_is_told_with_what_came() -> None:
    with (
        LiveKitServer() as server,
        pytest.raises(NotCaptured, match=r"No participant_joined in lab of alice within 0.01 s"),
    ):
        server.webhooks.wait_for("participant_joined", room="lab", identity="alice", timeout_s=0.01)
