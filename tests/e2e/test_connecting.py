"""Keys that change over, certificates, proxies and forbidden addresses, as the service's users configure them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import aiohttp
import jwt
import pytest
from standardwebhooks import Webhook

from roombell.testing.behaviours import Behaviour, reply
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.wire import RecordedRequest
from support.certificates import Certificates
from support.proxy import ForwardProxy
from support.service import API_KEY, SECRET, ServiceProcess, endpoint
from support.webhooks import event_body, is_authentic, post

KEYS = {API_KEY: SECRET, "APIold": "o" * 40, "APInew": "n" * 40}
WHSEC_OLD = "whsec_" + "b2xk" * 10
WHSEC_NEW = "whsec_" + "bmV3" * 10


class Receiver:
    """An application that takes what is signed with a key that it knows, and answers 401 to all else."""

    def __init__(self, *trusted: str) -> None:
        self.trusted = set(trusted)
        self.taken: list[tuple[str, str]] = []
        """Which key signed, and the event's id."""
        self.refused: list[str] = []

    def __call__(self, request: RecordedRequest) -> Behaviour:
        token = request.header("Authorization") or ""
        for api_key in self.trusted:
            with contextlib.suppress(jwt.InvalidTokenError):
                jwt.decode(token, KEYS[api_key], algorithms=["HS256"], issuer=api_key)
                self.taken.append((api_key, request.event_id))
                return reply()
        self.refused.append(request.event_id)
        return reply(401)


async def reload(service: ServiceProcess, *words: str) -> None:
    said = len(service.lines)
    service.signal(signal.SIGHUP)
    await service.wait_for_line(*(words or ("was reloaded",)), after=said)


async def test_a_signing_key_is_replaced_under_traffic_with_no_webhook_refused(tmp_path: Path) -> None:
    app = Receiver("APIold")
    sent = 0

    async def traffic(client: aiohttp.ClientSession) -> None:
        nonlocal sent
        while True:
            assert (await post(client, service.url, event_body(f"room-{sent % 5}", sent)))[0] == 200
            sent += 1

    async def some_more() -> None:
        before, goal = len(app.taken), len(app.taken) + 100
        async with asyncio.timeout(60):
            while len(app.taken) < goal:
                await end.wait_for(len(app.taken) + len(app.refused) + 1)
        assert len(app.taken) > before

    async with (
        ScriptedEndpoint(app) as end,
        ServiceProcess(tmp_path, [endpoint("app", end, api_key="APIold")], keys=KEYS) as service,
        aiohttp.ClientSession() as client,
    ):
        producer = asyncio.create_task(traffic(client))
        await some_more()
        app.trusted.add("APInew")  # first every receiver learns the new key,
        service.configure([endpoint("app", end, api_key="APInew")])
        await reload(service)  # then Roombell signs with it,
        while app.taken[-1][0] != "APInew":
            await some_more()
        await some_more()
        producer.cancel()
        await asyncio.gather(producer, return_exceptions=True)
        await end.wait_for(sent)
        app.trusted.remove("APIold")  # and then the old one is forgotten
        for number in range(sent, sent + 20):
            assert (await post(client, service.url, event_body("room-0", number)))[0] == 200
        await end.wait_for(sent + 20)
        assert await service.stop() == 0
    assert app.refused == []
    assert {key for key, _ in app.taken} == {"APIold", "APInew"}
    ids = [event_id for _, event_id in app.taken]
    assert len(ids) == len(set(ids)) >= sent + 20


async def test_standard_webhooks_secrets_change_over_with_both_signing_between(tmp_path: Path) -> None:
    async with (
        ScriptedEndpoint() as end,
        ServiceProcess(tmp_path, [endpoint("app", end, secrets=[WHSEC_OLD])]) as service,
        aiohttp.ClientSession() as client,
    ):
        for number, secrets in enumerate(([WHSEC_OLD], [WHSEC_OLD, WHSEC_NEW], [WHSEC_NEW])):
            service.configure([endpoint("app", end, secrets=secrets)])
            await reload(service)
            await post(client, service.url, event_body("room", number))
            request = (await end.wait_for(number + 1))[number]
            headers = {name.lower(): value for name, value in request.headers}
            for secret in secrets:
                assert Webhook(secret).verify(request.body, headers)["room"]["name"] == "room"
            assert headers["webhook-signature"].count("v1,") == len(secrets)
            assert is_authentic(request)  # LiveKit's own signature is there all the same
        assert await service.stop() == 0


async def test_a_client_certificate_is_renewed_by_reload_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    pki = Certificates(tmp_path)
    cert, key = pki.client("first")
    tls = {"ca": pki.ca, "cert": cert, "key": key}
    async with ScriptedEndpoint(tls=pki.server(wants_client=True)) as end:
        url = end.url.replace("127.0.0.1", "localhost")
        async with (
            ServiceProcess(tmp_path, [endpoint("app", url, tls=tls)]) as service,
            aiohttp.ClientSession() as client,
        ):
            await post(client, service.url, event_body("room", 1))
            await end.wait_for(1)
            Path(cert).write_text("broken")
            await reload(service, "not reloaded", "endpoints[0].tls.cert", "holds no certificate")
            await post(client, service.url, event_body("room", 2))
            await end.wait_for(2)
            for old, new in zip((cert, key), pki.client("second"), strict=True):
                Path(old).write_bytes(Path(new).read_bytes())
            await reload(service)
            await post(client, service.url, event_body("room", 3))
            requests = await end.wait_for(3)
            assert await service.stop() == 0
    assert [request.connection for request in requests] == [1, 1, 2]


async def test_the_environments_proxy_is_used_and_its_password_is_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki = Certificates(tmp_path)
    names = {"app.invalid": "127.0.0.1"}
    async with (
        ScriptedEndpoint(tls=pki.server("app.invalid")) as end,
        ForwardProxy(credentials="user:hunter2", hosts=names) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://user:hunter2@"))
        url = end.url.replace("127.0.0.1", "app.invalid")
        listed = [endpoint("app", url, tls={"ca": pki.ca})]
        async with ServiceProcess(tmp_path, listed) as service, aiohttp.ClientSession() as client:
            await post(client, service.url, event_body("room", 1))
            await end.wait_for(1)
            monkeypatch.setenv("HTTPS_PROXY", "")
            assert await service.stop() == 0
        assert proxy.heads[0].startswith(f"CONNECT app.invalid:{end.port} ")
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", "://user:hunter3@"))
        async with ServiceProcess(tmp_path, listed) as service, aiohttp.ClientSession() as client:
            await post(client, service.url, event_body("room", 2))
            await service.wait_for_line("refused the credentials")
            assert await service.stop() == 0
            said = "\n".join(service.lines)
    assert "hunter" not in said
    assert "dXNlcjpodW50ZXIy" not in said  # in base64


async def test_a_forbidden_address_is_told_with_its_rule_and_harms_no_other_endpoint(tmp_path: Path) -> None:
    async with (
        ScriptedEndpoint() as end,
        ScriptedEndpoint(host="127.0.0.2") as shut,
        ServiceProcess(
            tmp_path,
            [endpoint("app", end), endpoint("metadata", "http://169.254.169.254/latest"), endpoint("shut", shut)],
            network={"deny": ["127.0.0.2"]},
        ) as service,
        aiohttp.ClientSession() as client,
    ):
        for number in range(3):
            await post(client, service.url, event_body(f"room-{number}", number))
        await end.wait_for(3)
        await service.wait_for_line("metadata", "may not be sent to", "169.254.0.0/16")
        await service.wait_for_line("shut", "denied by network.deny (127.0.0.2/32)")
        service.configure([endpoint("app", end), endpoint("shut", shut, network={"allow": ["127.0.0.2"]})])
        await reload(service)
        await shut.wait_for(3)  # what it was owed meanwhile is kept
        assert await service.stop() == 0
