"""`roombell serve` as a process: its life, its signals, its first-day errors."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import roombell
from roombell.cli.http_client import fetch
from roombell.cli.serve import this_program
from roombell.testing.behaviours import reply
from roombell.testing.endpoint import ScriptedEndpoint
from support.commands import SECRET, write_config


async def test_in_development_a_triggered_call_is_delivered_in_order_and_verified(start, cli):
    service = await start("serve", "--dev", "--port", "0")
    await service.until(r"Next, in another terminal: roombell trigger call --to http://127\.0\.0\.1:\d+/webhook")
    url = await service.url()
    ended = await cli("trigger", "call", "--to", f"{url}/webhook")
    assert ended.code == 0, ended
    assert ended.out.endswith("15 sent, 15 accepted, 15 delivered, in order, verified.\n")
    told = await cli("trigger", "room_started", "--to", f"{url}/webhook", "--json")
    assert [record["record"] for record in told.records] == ["sent", "delivered", "summary"]
    assert await service.stop() == 0


async def test_in_development_it_tells_what_to_do_next(start):
    service = await start("serve", "--dev", "--port", "0")
    await service.until("roombell trigger call")
    told = "\n".join(service.lines)
    for piece in ("/webhook", "devkey / secret", "webhook.urls", "roombell-dev.db"):
        assert piece in told
    await service.stop()


def test_what_to_do_next_can_be_typed_where_the_program_is_not_on_the_path(clean_place, monkeypatch):
    program = clean_place / ".venv" / "bin" / "roombell"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(clean_place))
    assert this_program(str(program)) == this_program(".venv/bin/roombell") == ".venv/bin/roombell"
    (clean_place / "elsewhere").mkdir()
    monkeypatch.chdir(clean_place / "elsewhere")
    assert this_program(str(program)) == str(program)
    assert this_program("/somewhere/roombell/cli/__main__.py") == "roombell"
    monkeypatch.setenv("PATH", str(program.parent))
    assert this_program(str(program)) == "roombell"


async def test_in_development_a_secret_of_one_s_own_is_not_shown(start, clean_place):
    config = write_config(clean_place / "c.yaml")
    service = await start("serve", "--dev", "--config", str(config))
    await service.until("Next, in another terminal")
    await service.stop()
    assert SECRET not in "\n".join(service.lines)
    assert "APItest" in "\n".join(service.lines)


async def test_it_delivers_what_it_is_sent_and_stops_on_sigterm(start, cli, clean_place):
    async with ScriptedEndpoint() as endpoint:
        config = write_config(clean_place / "c.yaml", urls=(endpoint.url,))
        service = await start("serve", "--config", str(config))
        url = await service.url()
        assert (await cli("trigger", "call", "--to", f"{url}/webhook", "--config", str(config))).code == 0
        requests = await endpoint.wait_for(15)
        assert await service.stop() == 0
    assert len({request.event_id for request in requests}) == 15
    assert all(json.loads(line) for line in service.lines)
    assert SECRET not in "\n".join(service.lines)


async def test_ctrl_c_stops_it_gracefully_too(start):
    service = await start("serve", "--dev", "--port", "0")
    await service.until("Next, in another terminal")
    assert await service.stop(signal.SIGINT) == 130
    assert "Traceback" not in "\n".join(service.lines)
    assert any("Stopping on SIGINT" in line for line in service.lines)


async def test_a_second_signal_ends_it_at_once_and_loses_nothing(start, cli, clean_place):
    async with ScriptedEndpoint() as endpoint:
        await endpoint.black_hole()
        config = write_config(clean_place / "c.yaml", urls=(endpoint.url,))
        service = await start("serve", "--config", str(config))
        url = await service.url()
        assert (await cli("trigger", "room_started", "--to", f"{url}/webhook", "--config", str(config))).code == 0
        service.send(signal.SIGTERM)
        await service.until("Stopping on SIGTERM")
        assert await service.stop(signal.SIGTERM) == 128 + signal.SIGTERM
        assert any("second signal" in line for line in service.lines)
        await endpoint.listen()
        again = await start("serve", "--config", str(config))
        (request,) = await endpoint.wait_for(1, deadline_s=60)
        assert await again.stop() == 0
    assert request.event.type == "room_started"


async def test_sighup_reads_endpoints_and_keys_anew(start, cli, clean_place):
    async with ScriptedEndpoint() as old, ScriptedEndpoint() as new:
        config = write_config(clean_place / "c.yaml", urls=(old.url,))
        service = await start("serve", "--config", str(config))
        url = await service.url()
        write_config(config, urls=(new.url,), keys={"APInew": SECRET}, webhook={"api_key": "APInew", "urls": [new.url]})
        service.send(signal.SIGHUP)
        await service.until("The configuration was reloaded: 1 API key, 1 endpoint.")
        assert (await cli("trigger", "room_started", "--to", f"{url}/webhook", "--config", str(config))).code == 0
        await new.wait_for(1)
        assert await service.stop() == 0
    assert old.requests == []


async def test_sighup_with_a_wrong_file_changes_nothing_and_says_where(start, cli, clean_place):
    async with ScriptedEndpoint() as endpoint:
        config = write_config(clean_place / "c.yaml", urls=(endpoint.url,))
        service = await start("serve", "--config", str(config))
        url = await service.url()
        config.write_text("keys: {APItest: x}\nprot: 1\n")
        service.send(signal.SIGHUP)
        line = (await service.until(".*was not reloaded.*"))[0]
        assert "c.yaml:2: prot: there is no such setting; did you mean port?" in line
        sent = await cli("trigger", "room_started", "--to", f"{url}/webhook", "--key", "APItest", "--secret", SECRET)
        assert sent.code == 0
        await endpoint.wait_for(1)
        assert await service.stop() == 0


async def test_sighup_tells_what_changes_with_the_next_start_only(start, clean_place):
    config = write_config(clean_place / "c.yaml")
    service = await start("serve", "--config", str(config))
    await service.url()
    write_config(config, retention="1d", store="sqlite:///other.db")
    service.send(signal.SIGHUP)
    await service.until("in force after a restart only: store, retention")
    await service.stop()
    assert not (clean_place / "other.db").exists()


async def test_what_the_configuration_s_reader_noticed_is_logged(start, clean_place):
    config = write_config(clean_place / "c.yaml", keys={"APItest": "short"})
    service = await start("serve", "--config", str(config))
    await service.until("The secret of API key APItest has fewer than 32 characters")
    await service.until("No endpoint is configured")
    await service.stop()


async def test_a_taken_port_is_told_before_the_store_is_touched(start, clean_place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = await start("serve", "--dev", "--port", str(port))
        assert await service.ended() == 5
    (line,) = service.lines
    assert line.startswith(f"Error: Cannot listen on 127.0.0.1, port {port}: Address already in use.")
    assert not (clean_place / "roombell-dev.db").exists()


async def test_an_address_of_another_machine_is_told(start, clean_place):
    config = write_config(clean_place / "c.yaml", bind_addresses=["192.0.2.1"])
    service = await start("serve", "--config", str(config), "--log-level", "error")
    assert await service.ended() == 5
    assert "192.0.2.1" in service.lines[-1]


async def test_a_store_that_is_in_use_is_told_with_its_holder(start):
    first = await start("serve", "--dev", "--port", "0")
    await first.until("Next, in another terminal")
    second = await start("serve", "--dev", "--port", "0")
    assert await second.ended() == 4
    (line,) = second.lines
    assert "roombell-dev.db is open in another process (pid" in line
    await first.stop()


@pytest.mark.parametrize("what", ["folder", "no folder", "not a store", "no database"])
async def test_a_store_that_cannot_be_used_is_told(start, clean_place: Path, what):
    store = clean_place / "store"
    match what:
        case "folder":
            store.mkdir()
        case "no folder":
            store = clean_place / "missing" / "store"
        case "not a store":
            connection = sqlite3.connect(store)
            connection.execute("CREATE TABLE x (y)")
            connection.close()
        case _:
            store.write_bytes(b"this is no database at all, and long enough to be looked at\n" * 10)
    config = write_config(clean_place / "c.yaml", store=f"sqlite:///{store}")
    service = await start("serve", "--config", str(config), "--log-level", "error")
    assert await service.ended() == 4
    (line,) = service.lines
    assert line.startswith("Error: ")
    assert str(store) in line


async def test_livekit_s_own_file_is_taken_as_it_is(start, clean_place):
    (clean_place / "livekit.yaml").write_text(
        f"port: 7880\nrtc: {{tcp_port: 7881}}\nkeys: {{APItest: {SECRET}}}\nwebhook: {{api_key: APItest, urls: []}}\n"
    )
    service = await start("serve", "--config", "livekit.yaml", "--port", "0", ROOMBELL_STORE="memory:")
    url = await service.url()
    reply_ = fetch("GET", f"{url.replace('0.0.0.0', '127.0.0.1')}/healthz", timeout_s=30)
    assert reply_.status == 200
    assert any("LiveKit server's own sections are ignored: rtc." in line for line in service.lines)
    await service.stop()


async def test_the_terminal_gets_no_colour_where_there_is_none(start):
    service = await start("serve", "--dev", "--port", "0")
    await service.until("Next, in another terminal")
    await service.stop()
    assert "\x1b" not in "\n".join(service.lines)


@pytest.mark.parametrize(("env", "styled"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colour", "NO_COLOR"])
def test_a_terminal_gets_colour_unless_it_is_not_wanted(env, styled):
    main, other = pty.openpty()
    source = str(Path(roombell.__file__).parents[1])
    environ = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run(
        [sys.executable, "-m", "roombell.cli", "trigger", "--list"],
        stdout=other, env={**environ, "TERM": "xterm", "PYTHONPATH": source, **env}, check=True,
    )  # fmt: skip
    os.close(other)
    told = os.read(main, 65536)
    os.close(main)
    assert (b"\x1b[" in told) is styled


async def test_an_endpoint_s_answer_is_never_in_the_log(start, cli, clean_place):
    def script(request):
        return reply(500, body=request.header("Authorization").encode())

    async with ScriptedEndpoint(script) as endpoint:
        config = write_config(clean_place / "c.yaml", urls=(endpoint.url,))
        service = await start("serve", "--config", str(config))
        url = await service.url()
        await cli("trigger", "room_started", "--to", f"{url}/webhook", "--config", str(config))
        await endpoint.wait_for(1)
        await service.until("will be sent again")
        await service.stop()
    assert endpoint.requests[0].header("Authorization") not in "\n".join(service.lines)
