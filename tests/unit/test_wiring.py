"""From an endpoint's settings to what the transport is told."""

import pytest

from roombell.engine.hooks import AttemptFinished
from roombell.errors import UsageError
from roombell.notifier import Notifier
from roombell.settings import EndpointSettings
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.payloads import sample
from roombell.transport import NetworkPolicy, Reach, TlsSettings
from roombell.wiring import http_target
from support.certificates import Certificates


def settings(url="https://app.example.com/", **more) -> EndpointSettings:
    return EndpointSettings(name="app", url=url, api_key="APIabc", **more)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_the_environments_proxy_is_for_endpoints_that_say_nothing(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    assert http_target(settings()).proxy == "http://proxy:1"
    assert http_target(settings(proxy="")).proxy == ""
    assert http_target(settings(proxy="http://other:2")).proxy == "http://other:2"
    assert http_target(settings("http://app.example.com/")).proxy == ""


def test_a_proxy_that_cannot_be_used_is_refused_by_its_place(monkeypatch):
    with pytest.raises(UsageError, match="Endpoint 'app': The proxy's URL"):
        http_target(settings(proxy="ftp://hunter2"))
    monkeypatch.setenv("HTTPS_PROXY", "ftp://hunter2")
    with pytest.raises(UsageError, match="HTTPS_PROXY: The proxy's URL") as caught:
        http_target(settings())
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"tls": TlsSettings(ca="/nowhere.pem")}, "Endpoint 'app': tls.ca: /nowhere.pem cannot be read"),
        ({"tls": TlsSettings(min_version="1.0")}, "Endpoint 'app': tls.min_version: "),
        ({"tls": TlsSettings(min_version="1.3"), "url": "http://a.test/"}, "Endpoint 'app': tls has no meaning"),
        ({"network": NetworkPolicy(allow=("10.0.0.1/8",))}, "Endpoint 'app': '10.0.0.1/8' is no network"),
        ({"secrets": ("whsec_x",)}, "Endpoint 'app': A secret is not valid base64"),
        ({"wait_timeout_ms": 0}, "Endpoint 'app': wait_timeout_ms is 0"),
        (
            {"headers": (("Webhook-Signature", "x"),)},
            "Endpoint 'app': Header 'Webhook-Signature' is set by the protocol",
        ),
        ({"headers": (("Proxy-Authorization", "x"),)}, "Endpoint 'app': Header 'Proxy-Authorization' is set by"),
        ({"headers": (("X-A", "b\r\nHost: c"),)}, "Endpoint 'app': The value of header 'X-A' cannot be sent"),
        ({"headers": (("X-A: b\r\nHost", "c"),)}, "Endpoint 'app': 'X-A: b"),
        ({"url": "ftp://a.test"}, "Endpoint 'app': The URL's scheme is 'ftp'"),
        ({"url": "https://user:x@a.test"}, "Endpoint 'app': The URL carries a user name"),
    ],
)
def test_what_cannot_be_sent_to_is_refused_with_the_endpoints_name(more, told):
    with pytest.raises(UsageError) as caught:
        http_target(settings(**more))
    assert str(caught.value).startswith(told)


def test_targets_are_equal_until_a_file_changes(tmp_path):
    pki = Certificates(tmp_path)
    cert, key = pki.client()
    one = settings(tls=TlsSettings(cert=cert, key=key))
    before = http_target(one)
    assert http_target(one) == before
    pki.client()  # the same names, a new key
    assert http_target(one) != before


def test_no_representation_shows_a_secret():
    one = settings(
        proxy="http://user:hunter2@proxy", headers=(("X-Key", "hunter2"),), secrets=("whsec_" + "aHVudGVyMg" * 4,)
    )
    assert "hunter2" not in repr(one) + repr(http_target(one))
    assert "aHVudGVyMg" not in repr(one) + repr(http_target(one))


async def test_an_endpoint_that_somebody_else_chose_reaches_no_private_address(tmp_path):
    seen = []
    async with ScriptedEndpoint() as end:
        chosen = EndpointSettings(
            name="customer", url=end.url, api_key="APIabc", network=NetworkPolicy(reach=Reach.PUBLIC)
        )
        async with Notifier(
            keys={"APIabc": "secret"},
            endpoints=[chosen],
            urls=[end.url],
            store=f"sqlite:///{tmp_path}/roombell.db",
            hooks=[seen.append],
        ) as notifier:
            await notifier.notify(sample("room_started"))
            await end.wait_for(1)
        attempts = {one.endpoint: one for one in seen if isinstance(one, AttemptFinished)}
        assert len(end.requests) == 1
    assert attempts["customer"].attempt.outcome == "blocked"
    assert "loopback (127.0.0.0/8)" in attempts["customer"].attempt.detail
