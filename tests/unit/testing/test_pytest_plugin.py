"""The fixtures that pytest finds by itself, in runs of their own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

APPLICATION = """
import pytest
from roombell.receiver import Receiver, asgi, wsgi

@pytest.fixture
def joined():
    return []

@pytest.fixture
def receiver(joined):
    made = Receiver(keys={"devkey": "secret"})
    @made.on("participant_joined")
    def note(event):
        joined.append(event.participant.identity)
    return made
"""


def run(folder: Path, text: str) -> str:
    """What pytest says of these tests, run as their writer would, with warnings as errors."""
    (folder / "test_app.py").write_text(text, encoding="utf-8")
    scope = "asyncio_default_fixture_loop_scope=function"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        ".",
        "-o",
        scope,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_it_is_registered_for_pytest_to_find() -> None:
    [plugin] = entry_points(group="pytest11", name="roombell")
    assert plugin.value == "roombell.testing.pytest_plugin"


def test_a_test_takes_a_factory_and_a_client_and_may_say_the_keys(tmp_path: Path) -> None:
    told = run(
        tmp_path,
        APPLICATION
        + """
def test_by_asgi(roombell_client, webhook_factory, receiver, joined):
    client = roombell_client(asgi.app(receiver), path="/livekit")
    assert client.post(webhook_factory.event("participant_joined", identity="alice")).ok
    assert joined == ["alice"]

@pytest.mark.asyncio
async def test_in_a_coroutine(roombell_client, webhook_factory, receiver, joined):
    async with roombell_client(receiver) as client:
        assert (await client.apost(webhook_factory.event("participant_joined", identity="bob"))).ok
    assert joined == ["bob"]

def test_by_wsgi_with_a_whole_call(roombell_client, webhook_factory, receiver, joined):
    replies = roombell_client(wsgi.app(receiver)).post_all(webhook_factory.call("standup", people=("a", "b", "c")))
    assert all(reply.ok for reply in replies)
    assert joined == ["a", "b", "c"]

def test_with_time_that_the_test_moves(roombell_client, webhook_factory):
    receiver = Receiver(keys={"devkey": "secret"}, now=webhook_factory.clock)
    client = roombell_client(asgi.app(receiver), now=webhook_factory.clock)
    webhook_factory.clock.advance(86400)
    assert client.post(webhook_factory.event("room_started")).ok

class TestAnApplicationWithOtherKeys:
    @pytest.fixture
    def roombell_keys(self):
        return {"APIabc": "another secret"}

    def test_keys(self, roombell_client, webhook_factory):
        app = asgi.app(Receiver(keys={"APIabc": "another secret"}))
        assert roombell_client(app).post(webhook_factory.event("room_started")).ok
""",
    )
    assert "5 passed" in told, told


def test_a_run_that_does_not_use_it_loads_nothing_of_roombell(tmp_path: Path) -> None:
    told = run(
        tmp_path,
        """
import sys

def test_nothing():
    loaded = {name for name in sys.modules if name.startswith("roombell")}
    plugins = {"roombell.testing", "roombell.testing.pytest_plugin", "roombell.rooms", "roombell.rooms.pytest_plugin"}
    assert loaded == {"roombell", "roombell._version", *plugins}
""",
    )
    assert "1 passed" in told, told
