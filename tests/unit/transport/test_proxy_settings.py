"""Which proxy stands before an endpoint, by its own URL or by the environment, as Go's HTTP client reads it."""

import base64

import pytest

from roombell.errors import UsageError
from roombell.transport.proxy import parse_proxy, proxy_from_environment
from roombell.transport.url import parse_url

BOTH = {"HTTP_PROXY": "http://plain:1", "HTTPS_PROXY": "http://secure:2"}


@pytest.mark.parametrize(
    ("text", "origin", "pair"),
    [
        ("http://proxy:3128", "http://proxy:3128", ""),
        ("proxy:3128", "http://proxy:3128", ""),
        ("proxy", "http://proxy", ""),
        ("https://proxy.example.com", "https://proxy.example.com", ""),
        ("http://[::1]:3128/", "http://[::1]:3128", ""),
        ("http://user:pass@proxy", "http://proxy", "user:pass"),
        ("user:pa%40ss%3A@proxy:1", "http://proxy:1", "user:pa@ss:"),
        ("http://us@er:p@ss@proxy", "http://proxy", "us@er:p@ss"),
        ("http://user@proxy", "http://proxy", "user:"),
    ],
)
def test_a_proxys_url_is_taken_apart(text, origin, pair):
    proxy = parse_proxy(text)
    assert proxy.url.origin == origin
    assert proxy.authorization == (f"Basic {base64.b64encode(pair.encode()).decode()}" if pair else "")
    assert repr(proxy) == f"<Proxy {origin}>"


@pytest.mark.parametrize(
    "text",
    ["", "http://", "ftp://hunter2@proxy", "http://user:hunter2", "http://u:hunter2@proxy/path", "http://u:hunter2@pro xy",
     "http://u:hunter2/x@proxy:port", "http://u:p@hunter2:hunter2", "socks5://u:hunter2@proxy", "//hunter2"],
)  # fmt: skip
def test_a_url_that_is_no_proxys_is_refused_without_being_shown(text):
    with pytest.raises(UsageError, match="proxy's URL") as caught:
        parse_proxy(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("https://app.example.com/", {}, ("", "")),
        ("https://app.example.com/", BOTH, ("HTTPS_PROXY", "http://secure:2")),
        ("http://app.example.com/", BOTH, ("HTTP_PROXY", "http://plain:1")),
        ("http://app.example.com/", {"http_proxy": "low:1"}, ("http_proxy", "low:1")),
        ("http://app.example.com/", {"http_proxy": "low:1", "HTTP_PROXY": "high:1"}, ("HTTP_PROXY", "high:1")),
        ("https://app.example.com/", {"HTTP_PROXY": "x"}, ("", "")),
        ("http://app.example.com/", {"ALL_PROXY": "x"}, ("", "")),
        ("http://app.example.com/", {"HTTP_PROXY": ""}, ("", "")),
        ("http://localhost:80/", BOTH, ("", "")),
        ("http://127.9.9.9/", BOTH, ("", "")),
        ("https://[::1]/", BOTH, ("", "")),
        ("https://10.0.0.1/", BOTH, ("HTTPS_PROXY", "http://secure:2")),
    ],
)
def test_the_environment_names_the_proxy_as_it_does_for_go(url, environ, expected):
    assert proxy_from_environment(parse_url(url), environ) == expected


@pytest.mark.parametrize(
    ("no_proxy", "excepted", "proxied"),
    [
        ("example.com", ["example.com", "app.example.com", "EXAMPLE.com"], ["badexample.com", "example.org"]),
        (".example.com", ["app.example.com"], ["example.com", "badexample.com"]),
        ("*.example.com", ["app.example.com"], ["example.com"]),
        ("*", ["example.com", "10.0.0.1", "[2a00::1]"], []),
        (" a.test , b.test,, ", ["a.test", "b.test"], ["c.test"]),
        ("a.test:8443", ["a.test:8443"], ["a.test", "a.test:1"]),
        ("10.0.0.0/8", ["10.1.2.3"], ["11.0.0.1", "ten.test"]),
        ("10.1.2.3", ["10.1.2.3", "10.1.2.3:99"], ["10.1.2.4"]),
        ("10.1.2.3:443", ["10.1.2.3"], ["10.1.2.3:99"]),
        ("2a00::/16,[2b00::1]:443,2c00::1", ["[2a00::9]", "[2b00::1]", "[2c00::1]"], ["[2b00::1]:99", "[2d00::1]"]),
        ("", [], ["a.test"]),
    ],
)
def test_hosts_can_be_excepted_as_go_excepts_them(no_proxy, excepted, proxied):
    environ = BOTH | {"NO_PROXY": no_proxy}
    names = {host: proxy_from_environment(parse_url(f"https://{host}/"), environ)[0] for host in (*excepted, *proxied)}
    assert names == dict.fromkeys(excepted, "") | dict.fromkeys(proxied, "HTTPS_PROXY")
