"""`roombell doctor`: each finding, with its mend."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import time
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from roombell.stores.sqlite.inspect import inspect
from roombell.testing.behaviours import redirect, reply
from roombell.testing.endpoint import ScriptedEndpoint
from support.certificates import Certificates
from support.commands import SECRET, write_config
from support.proxy import ForwardProxy


@pytest.fixture
def doctor(cli, clean_place):
    """The findings by check, and the exit code."""

    async def call(urls=(), **settings):
        config = write_config(clean_place / "c.yaml", urls=tuple(urls), **settings)
        ended = await cli("doctor", "--config", str(config), "--json")
        assert ended.err == ""
        found: dict[str, list[dict]] = {}
        for record in ended.records:
            found.setdefault(record["check"].split(" ")[0].rstrip(":"), []).append(record)
            assert bool(record["mend"]) == (record["status"] != "ok")
        return found, ended.code

    return call


async def test_a_sound_setup_has_no_problem_and_no_event_is_sent(doctor, clean_place):
    async with ScriptedEndpoint(reply(405, headers=(("Date", formatdate(usegmt=True)),))) as endpoint:
        found, code = await doctor([endpoint.url])
    assert code == 0
    assert {check: [one["status"] for one in some] for check, some in found.items()} == {
        "config": ["ok"], "keys": ["ok"], "store": ["ok"], "disk": ["ok"], "port": ["ok"], "endpoint": ["ok"],
        "clock": ["ok"],
    }  # fmt: skip
    assert [(request.method, request.body) for request in endpoint.requests] == [("HEAD", b"")]
    assert endpoint.requests[0].header("Authorization") is None
    assert list(clean_place.iterdir()) == [clean_place / "c.yaml"]


async def test_people_get_sentences_and_a_summary(cli, clean_place):
    ended = await cli("doctor", "--config", str(write_config(clean_place / "c.yaml", keys={"APItest": "short"})))
    assert ended.code == 0
    assert "warning  keys: The secret of APItest has fewer than 32 characters." in ended.out
    assert "         mend: Make a new one" in ended.out
    assert ended.out.endswith("2 warnings, 0 problems.\n")
    assert "short" not in ended.out.replace("shorter", "")


async def test_a_wrong_configuration_is_a_problem_with_its_line(cli, clean_place):
    (clean_place / "c.yaml").write_text("keys: {a: b}\nport: x\n")
    ended = await cli("doctor", "--config", "c.yaml", "--json")
    assert ended.code == 1
    (finding,) = ended.records
    assert (finding["status"], finding["check"]) == ("problem", "config")
    assert finding["message"].startswith("c.yaml:2: port: ")


async def test_weak_and_public_keys_are_told(doctor):
    found, code = await doctor(keys={"devkey": "secret", "weak": "x", "APItest": SECRET})
    assert code == 0
    told = [(one["status"], one["message"]) for one in found["keys"]]
    assert told[0][0] == told[1][0] == "warning"
    assert "everybody knows its secret" in told[0][1]
    assert "weak has fewer than 32 characters" in told[1][1]
    assert told[2] == ("ok", "APItest: long enough.")


async def test_the_development_setup_is_checked_with_dev(cli):
    ended = await cli("doctor", "--dev")
    assert "devkey: for development only." in ended.out


async def test_a_service_that_runs_is_recognised_by_port_and_store(start, cli, clean_place):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = write_config(clean_place / "c.yaml", port=port)
    service = await start("serve", "--config", str(config))
    await service.url()
    ended = await cli("doctor", "--config", str(config))
    assert ended.code == 0, ended.out
    assert f"Roombell runs at http://127.0.0.1:{port} and is ready." in ended.out
    assert "as it is while the service runs" in ended.out
    await service.stop()


async def test_a_stranger_on_the_port_is_a_problem(doctor):
    async with ScriptedEndpoint() as stranger:
        found, code = await doctor(port=stranger.port)
    assert code == 1
    assert "Another program has the port" in found["port"][0]["message"]


async def test_a_roombell_that_is_not_ready_is_a_problem_with_its_reason(doctor):
    body = b'{"ready": false, "checks": {"store": {"ok": false, "message": "The disk is full."}}}'
    async with ScriptedEndpoint(reply(503, body=body)) as service:
        found, code = await doctor(port=service.port)
    assert code == 1
    assert "is not ready: The disk is full." in found["port"][0]["message"]


async def test_an_address_of_another_machine_is_a_problem(doctor):
    found, code = await doctor(port=17890, bind_addresses=["192.0.2.1"])
    assert code == 1
    assert "Cannot listen on 192.0.2.1" in found["port"][0]["message"]


async def test_a_store_of_another_program_is_a_problem(doctor, clean_place):
    connection = sqlite3.connect(clean_place / "test.db")
    connection.execute("CREATE TABLE x (y)")
    connection.close()
    found, code = await doctor()
    assert code == 1
    assert "no Roombell store" in found["store"][0]["message"]


async def test_a_store_in_a_missing_folder_is_a_problem(doctor):
    found, code = await doctor(store="sqlite:///missing/test.db")
    assert code == 1
    assert "does not exist" in found["store"][0]["message"]


async def test_a_store_that_may_not_be_written_is_a_problem(doctor, clean_place, monkeypatch):
    (clean_place / "test.db").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("test.db"))
    found, code = await doctor()
    assert code == 1
    assert "cannot be written" in found["store"][0]["message"]


async def test_a_store_in_memory_is_a_warning(doctor):
    found, code = await doctor(store="memory:")
    assert code == 0
    assert [one["status"] for one in found["store"]] == ["warning"]


@pytest.mark.parametrize(("free", "status"), [(0, "problem"), (100 << 20, "warning"), (10 << 30, "ok")])
async def test_free_space_is_told(doctor, monkeypatch, free, status):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    found, _ = await doctor()
    assert found["disk"][0]["status"] == status


async def test_what_is_owed_and_dead_is_told(start, cli, doctor, clean_place, monkeypatch):
    async with ScriptedEndpoint(reply(500)) as failing, ScriptedEndpoint(reply(410)) as gone:
        endpoints = [
            {"name": "failing", "url": failing.url, "retry": {"attempts": 1}},
            {"name": "gone", "url": gone.url},
            {"name": "removed", "url": gone.url},
        ]
        config = write_config(clean_place / "c.yaml", endpoints=endpoints)
        service = await start("serve", "--config", str(config))
        url = await service.url()
        await cli("trigger", "room_started", "--to", f"{url}/webhook", "--config", str(config))
        await service.until("delivery given up")
        await service.until("endpoint disabled.*gone")
        await service.until("endpoint disabled.*removed")
        await service.stop()
        again = await start("serve", "--config", str(write_config(config, endpoints=endpoints[:1])))
        await again.url()
        await again.stop()
    found, _ = await doctor(endpoints=endpoints[:1])
    told = {one["check"]: one["message"] for one in found["store"]}
    assert told["store: failing"] == "1 deliveries are dead."
    assert told["store: gone"].startswith("It is no longer configured, and 1 deliveries wait")


async def test_an_endpoint_s_name_that_does_not_resolve_is_a_problem(doctor):
    found, code = await doctor(["http://nowhere.invalid/hook"])
    assert code == 1
    assert found["endpoint"][0]["message"].startswith("Cannot resolve nowhere.invalid")


async def test_an_endpoint_that_refuses_is_a_problem(doctor):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found, code = await doctor([f"http://127.0.0.1:{free.getsockname()[1]}/hook?token=hush"])
    assert code == 1
    assert "refused the connection" in found["endpoint"][0]["message"]
    assert "hush" not in str(found)


async def test_an_endpoint_without_tls_is_a_problem(doctor):
    async with ScriptedEndpoint() as endpoint:
        found, code = await doctor([endpoint.url.replace("http:", "https:")])
    assert code == 1
    assert "No secure connection" in found["endpoint"][0]["message"]


async def test_an_endpoint_that_never_answers_is_a_problem(doctor, monkeypatch):
    monkeypatch.setattr("roombell.cli.reach.TIMEOUT_S", 0.05)
    async with ScriptedEndpoint() as endpoint:
        await endpoint.black_hole()
        found, code = await doctor([endpoint.url])
    assert code == 1
    assert "did not answer" in found["endpoint"][0]["message"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (redirect("https://elsewhere.example.com/"), "It redirects."),
        (reply(403), "A login or a firewall"),
        (reply(410), "disables the endpoint"),
        (reply(502), "It may be down."),
    ],
    ids=["redirect", "forbidden", "gone", "bad gateway"],
)
async def test_an_answer_that_bodes_ill_is_a_warning(doctor, answer, told):
    async with ScriptedEndpoint(answer) as endpoint:
        found, code = await doctor([endpoint.url])
    assert code == 0
    assert found["endpoint"][0]["status"] == "warning"
    assert told in found["endpoint"][0]["message"]


@pytest.mark.parametrize(("off_s", "status"), [(0, "ok"), (-30, "warning"), (30, "warning"), (-3600, "problem")])
async def test_clocks_are_compared(doctor, off_s, status):
    headers = (("Date", formatdate(time.time() + off_s, usegmt=True)),)
    async with ScriptedEndpoint(reply(200, headers=headers)) as endpoint:
        found, _ = await doctor([endpoint.url])
    assert found["clock"][0]["status"] == status


async def test_a_date_that_is_none_is_passed_over(doctor):
    async with ScriptedEndpoint(reply(200, headers=(("Date", "yesterday"),))) as endpoint:
        found, code = await doctor([endpoint.url])
    assert code == 0
    assert "clock" not in found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_endpoint_that_is_the_service_itself_is_a_problem(doctor, host):
    found, code = await doctor([f"http://{host}:17891/webhook"], port=17891)
    assert code == 1
    assert "points to this service itself" in found["endpoint"][0]["message"]


async def test_the_operators_own_url_is_checked_too(doctor):
    found, code = await doctor([], port=17891, operations={"url": "http://127.0.0.1:17891/webhook"})
    assert code == 1
    (told,) = found["endpoint"]
    assert (told["check"], told["status"]) == ("endpoint @operations", "problem")
    assert "points to this service itself" in told["message"]


def test_looking_at_a_store_makes_and_changes_nothing(tmp_path):
    report = inspect(tmp_path / "none.db")
    assert not report.exists
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.db").touch()
    assert not inspect(tmp_path / "empty.db").exists


async def test_an_address_that_may_not_be_reached_is_a_problem_with_its_rule(doctor):
    found, code = await doctor(["http://169.254.169.254/latest"])
    assert code == 1
    assert "may not be sent to" in found["endpoint"][0]["message"]
    assert "network.allow" in found["endpoint"][0]["mend"]


async def test_an_endpoint_is_asked_with_its_own_authority_and_certificate(doctor, clean_place):
    pki = Certificates(clean_place)
    cert, key = pki.client()
    async with ScriptedEndpoint(reply(405), tls=pki.server(wants_client=True)) as endpoint:
        url = endpoint.url.replace("127.0.0.1", "localhost")
        tls = {"ca": pki.ca, "cert": cert, "key": key}
        found, _ = await doctor(endpoints=[{"name": "app", "url": url, "tls": tls}])
        assert [one["status"] for one in found["endpoint"]] == ["ok"]
        assert [request.method for request in endpoint.requests] == ["HEAD"]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_endpoint_behind_a_proxy_is_tried_through_it(doctor, clean_place, scheme):
    pki = Certificates(clean_place)
    names = {"app.invalid": "127.0.0.1"}
    async with (
        ScriptedEndpoint(tls=pki.server("app.invalid") if scheme == "https" else None) as endpoint,
        ForwardProxy(hosts=names, credentials="user:hunter2") as proxy,
    ):
        app = {"name": "app", "url": endpoint.url.replace("127.0.0.1", "app.invalid")}
        app |= {"tls": {"ca": pki.ca}} if scheme == "https" else {}
        through = proxy.url.replace("://", "://user:hunter2@")
        found, _ = await doctor(endpoints=[app | {"proxy": through}])
        assert f"through the proxy {proxy.url}" in found["endpoint"][0]["message"]
        assert found["endpoint"][0]["status"] == "ok"
        gone = await doctor(endpoints=[app | {"proxy": "http://user:hunter2@proxy.invalid"}])
    assert "No way through the proxy" in gone[0]["endpoint"][0]["message"]
    assert "hunter2" not in str(found) + str(gone)
