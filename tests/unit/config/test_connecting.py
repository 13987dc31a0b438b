"""Where and how endpoints may be connected to, as the file says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from roombell.config import EndpointSettings, parse
from roombell.errors import ConfigError
from roombell.transport.guard import NetworkPolicy, Reach
from roombell.transport.tls import TlsSettings
from support.certificates import Certificates

KEYS = "keys: {a: a-secret-of-more-than-thirty-two-characters}\n"
SECRET = "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg=="


def read(more: str, *, url: str = "https://e.test/", top: str = "", **environ: str) -> EndpointSettings:
    text = f"{KEYS}{top}\nendpoints:\n- name: e\n  url: {url}\n  {more}\n"
    return parse(text, source="c.yaml", environ=environ).endpoints[0]


def refusal(more: str, *, url: str = "https://e.test/", top: str = "", **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(more, url=url, top=top, **environ)
    assert "hunter2" not in str(caught.value)
    return str(caught.value).removeprefix("c.yaml:6: endpoints[0].")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timeout: 5s", (5_000, None, None)),
        ("timeout: {total: 5s}", (5_000, None, None)),
        ("timeout: {connect: 3s, wait: 10s}", (15_000, 3_000, 10_000)),
        ("timeout: {total: 5s, connect: 200ms, wait: 5s}", (5_000, 200, 5_000)),
        ("timeout: {}", (15_000, None, None)),
        ("timeout:", (15_000, None, None)),
    ],
)
def test_timeouts_come_whole_or_in_parts(text: str, expected: tuple[int, int | None, int | None]) -> None:
    endpoint = read(text)
    assert (endpoint.timeout_ms, endpoint.connect_timeout_ms, endpoint.wait_timeout_ms) == expected


@pytest.mark.parametrize(
    ("text", "per_s"), [("50/s", 50.0), ("300/m", 5.0), ("3600 / h", 1.0), ("0.5/s", 0.5), ("1/h", 1 / 3600)]
)
def test_rates_are_per_second_minute_or_hour(text: str, per_s: float) -> None:
    assert read(f"rate_limit: {text}").rate_limit_per_s == pytest.approx(per_s)


def test_networks_are_for_all_endpoints_unless_one_has_its_own() -> None:
    text = (
        f"{KEYS}network: {{deny: [10.0.0.0/8], allow: [10.1.0.0/16]}}\n"
        "webhook: {urls: ['https://one.test/']}\n"
        "endpoints:\n- {name: two, url: 'https://two.test/'}\n"
        "- {name: three, url: 'https://three.test/', network: {allow: ['fd00::/8', 192.0.2.7]}}\n"
    )
    one, two, three = (endpoint.network for endpoint in parse(text, source="c.yaml", environ={}).endpoints)
    assert one == two == NetworkPolicy(allow=("10.1.0.0/16",), deny=("10.0.0.0/8",), reach=Reach.OPERATOR)
    assert three == NetworkPolicy(allow=("fd00::/8", "192.0.2.7"))


def test_the_operators_own_url_is_held_to_what_is_for_all() -> None:
    text = f"{KEYS}network: {{deny: [10.0.0.0/8]}}\noperations: {{url: 'https://o.test/'}}\n"
    settings = parse(text, source="c.yaml", environ={})
    assert settings.operations is not None
    assert settings.operations.network == NetworkPolicy(deny=("10.0.0.0/8",))
    with pytest.raises(ConfigError, match="HTTPS_PROXY"):
        parse(text, source="c.yaml", environ={"HTTPS_PROXY": "socks5://proxy"})


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("proxy: http://proxy:3128", {}, "http://proxy:3128"),
        ("proxy: none", {"HTTPS_PROXY": "http://other"}, ""),
        ("proxy:", {"HTTPS_PROXY": "http://other"}, None),
        ("proxy: 'http://user:${PASS}@proxy'", {"PASS": "hunter2"}, "http://user:hunter2@proxy"),
        ("proxy: $CORP_PROXY", {"CORP_PROXY": "http://proxy:1"}, "http://proxy:1"),
    ],
)
def test_a_proxy_is_named_left_out_or_left_to_the_environment(text, environ, expected) -> None:
    endpoint = read(text, **environ)
    assert endpoint.proxy == expected
    assert "hunter2" not in repr(endpoint)


def test_secrets_come_from_the_file_and_from_the_environment() -> None:
    endpoint = read(f"secrets: ['{SECRET}', $NEXT]", NEXT=f"{SECRET[:-3]}Q==")
    assert endpoint.secrets == (SECRET, f"{SECRET[:-3]}Q==")
    assert SECRET not in repr(endpoint)


def test_tls_files_are_read_at_once(tmp_path: Path) -> None:
    pki = Certificates(tmp_path)
    cert, key = pki.client()
    tls = read(f"tls: {{ca: {pki.ca}, cert: $DIR/roombell.pem, key: '{key}', min_version: 1.3}}", DIR=str(tmp_path)).tls
    assert tls == TlsSettings(ca=pki.ca, cert=cert, key=key, min_version="1.3")


def test_what_is_wrong_with_tls_files_is_told_with_the_line(tmp_path: Path) -> None:
    pki = Certificates(tmp_path)
    (one, _), (_, two) = pki.client("one"), pki.client("two")
    missing = refusal("tls: {ca: /nowhere/ca.pem}")
    assert missing == "tls.ca: /nowhere/ca.pem cannot be read: No such file or directory."
    assert refusal(f"tls: {{cert: {one}, key: {two}}}") == (
        f"tls.key: the private key in {two} does not belong to the certificate in {one}."
    )
    assert "tls.key: the private key in" in refusal(f"tls: {{cert: {one}, key: {pki.encrypted(two)}}}")
    assert refusal(f"tls: {{cert: {one}}}").startswith("tls.cert: ")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("timeout: {total: 1s, wait: 2s}", "timeout.wait: wait is longer than the whole attempt may take"),
        ("timeout: {connect: 20s}", "timeout.connect: connect is longer than the whole attempt may take"),
        ("timeout: {connect: 0}", "timeout.connect: must be from 1ms to 10m, found '0'"),
        ("timeout: {read: 1s}", "timeout.read: there is no such setting; there are connect, total, wait"),
        ("timeout: [1s]", "timeout: expected text, found a list"),
        ("rate_limit: 50", "rate_limit: expected a number per second, minute or hour, such as 50/s, 300/m or 1000/h, found '50'"),
        ("rate_limit: 0/s", "rate_limit: must be more than 0 and up to 100000/s, found '0/s'"),
        ("rate_limit: 100001/s", "rate_limit: must be more than 0 and up to 100000/s, found '100001/s'"),
        ("network: {allow: [10.0.0.1/8]}", "network.allow[0]: '10.0.0.1/8' is no network: it has bits set beyond its length. Did you mean 10.0.0.0/8?"),
        ("network: {deny: [localhost]}", "network.deny[0]: 'localhost' is no network: write it as 10.0.0.0/8, fd00::/8 or 192.0.2.7."),
        ("network: {only: [10.0.0.0/8]}", "network.only: there is no such setting; there are allow, deny"),
        ("network: [10.0.0.0/8]", "network: expected a section of settings, found a list"),
        ("proxy: http://user:hunter2@proxy/path", "proxy: The proxy's URL cannot be used: expected http://[user:password@]host:port"),
        ("proxy: socks5://proxy", "proxy: The proxy's URL is a SOCKS proxy's: only http and https proxies are known here."),
        ("proxy: http://user:$PASS@proxy", "proxy: the environment has no PASS"),
        ("secrets: [hunter2]", "secrets[0]: A secret does not begin with whsec_"),
        ("secrets: [whsec_hunter2a]", "secrets[0]: A secret has 6 bytes"),
        ("secrets: hunter2", "secrets: expected a list, found text"),
        ("secrets: [$NONE]", "secrets[0]: the environment has no NONE"),
        ("tls: {min_version: 1.1}", "tls.min_version: expected 1.2 or 1.3, found '1.1'"),
        ("tls: {key: /nowhere/key.pem}", "tls.key: there is a key without cert"),
        ("tls: {verify: false}", "tls.verify: there is no such setting; there are ca, cert, key, min_version"),
        ("tls: true", "tls: expected a section of settings, found text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_place_and_mend(more: str, told: str) -> None:
    assert refusal(more).startswith(told)


def test_tls_for_an_http_url_is_refused() -> None:
    assert refusal("tls: {min_version: 1.3}", url="http://e.test/") == (
        "tls: tls has no meaning for an http:// URL; write https://, or leave tls out"
    )


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_in_the_environment_that_cannot_be_used_is_told_by_its_variable(name: str) -> None:
    told = refusal("headers: {X-A: b}", **{name: "socks5://user:hunter2@proxy"})
    assert told == f"{name}: The proxy's URL is a SOCKS proxy's: only http and https proxies are known here."
    with pytest.raises(ConfigError, match=name):
        parse(f"{KEYS}webhook: {{urls: ['https://a.test']}}", source="c.yaml", environ={name: "http://a b"})
    assert read("headers: {X-A: b}", url="http://e.test/", **{name: "nonsense here"}).proxy is None
