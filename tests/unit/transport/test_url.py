import pytest
from hypothesis import given
from hypothesis import strategies as st

from roombell.errors import UsageError
from roombell.transport import EndpointUrlError, parse_url


@pytest.mark.parametrize(
    ("text", "origin", "target"),
    [
        ("http://example.com", "http://example.com", "/"),
        ("https://example.com/", "https://example.com", "/"),
        ("HTTPS://Example.COM/Hook", "https://example.com", "/Hook"),
        ("https://example.com:443/a", "https://example.com", "/a"),
        ("https://example.com:/a", "https://example.com", "/a"),
        ("http://example.com:443/a", "http://example.com:443", "/a"),
        ("http://example.com?x=1", "http://example.com", "/?x=1"),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080", "/a"),
        ("http://[::1]:8080/a", "http://[::1]:8080", "/a"),
        ("http://[2001:DB8:0:0::1]/a", "http://[2001:db8::1]", "/a"),
        ("http://my_app.local/a", "http://my_app.local", "/a"),
        ("https://bücher.example/a", "https://xn--bcher-kva.example", "/a"),
        ("http://svc.cluster.local./a", "http://svc.cluster.local", "/a"),
    ],
)
def test_a_url_is_taken_apart(text, origin, target):
    url = parse_url(text)
    assert (url.origin, url.target) == (origin, target)


def test_path_and_query_stay_as_they_were_written():
    written = "/a//b/../c;p=1/%7Euser/%2f?q=a+b&r=%C3%BC&s={x}|y"
    assert parse_url(f"https://example.com{written}").target == written


def test_characters_outside_ascii_become_percent_escapes():
    assert parse_url("https://example.com/größe?ü=1").target == "/gr%C3%B6%C3%9Fe?%C3%BC=1"


def test_a_final_dot_is_for_the_resolver_and_not_for_the_certificate():
    url = parse_url("https://example.com./a")
    assert (url.name_to_resolve, url.host, url.host_header) == ("example.com.", "example.com", "example.com")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("example.com/hook", "not absolute"),
        ("/hook", "not absolute"),
        ("http:/example.com", "not absolute"),
        ("ftp://example.com/", "'ftp'"),
        ("javascript://example.com/", "'javascript'"),
        ("http://", "no host"),
        ("http:///hook", "no host"),
        ("http://:8080/hook", "no host"),
        ("http://./hook", "no host"),
        ("http://user:pass@example.com/", "headers instead"),
        ("http://evil.com@example.com/", "headers instead"),
        ("http://example.com/#top", "fragment"),
        ("http://example.com#", "fragment"),
        ("http://example.com:0/", "'0'"),
        ("http://example.com:65536/", "65535"),
        ("http://example.com:80a/", "'80a'"),
        ("http://example.com:٣/", "port"),
        ("http://example.com:99999999999999999999/", "port"),
        ("http://[::1/", "malformed"),
        ("http://::1/", "malformed"),
        ("http://[::1]x/", "malformed"),
        ("http://[fe80::1%25eth0]/", "zone"),
        ("http://[nonsense]/", "not an IPv6 address"),
        ("http://exa mple.com/", "percent-encode"),
        ("http://example.com/a b", "percent-encode"),
        ("http://example.com/\r\nX: y", "percent-encode"),
        ("http://example.com\\@evil.com/", "percent-encode"),
        ("http://example.com/\x00", "percent-encode"),
        ("http://example.com/\u2028", "percent-encode"),
        ("http://example.com/\ud800", "Unicode"),
        ("http://-example.com/", "not a host name"),
        ("http://exam!ple.com/", "not a host name"),
        ("http://a..b/", "not a host name"),
        (f"http://{'a' * 64}.com/", "not a host name"),
        (f"http://{'a.' * 130}com/", "not a host name"),
        (f"http://{'ü' * 64}.com/", "internationalised"),
        ("http://example.com/" + "a" * 5000, "4096"),
        (b"http://example.com/", "must be text"),
    ],
)
def test_what_cannot_be_posted_to_is_refused_with_the_reason(text, told):
    with pytest.raises(EndpointUrlError) as refusal:
        parse_url(text)
    assert told in str(refusal.value)
    assert isinstance(refusal.value, UsageError)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:SECRET@example.com/",
        "https://example.com/?token=SECRET#x",
        "https://example.com:x/?token=SECRET",
        "https://example.com/SECRET x",
        "https://exa!mple.com/SECRET",
        "ftp://example.com/SECRET",
    ],
)
def test_no_refusal_shows_what_may_be_secret(text):
    with pytest.raises(EndpointUrlError) as refusal:
        parse_url(text)
    assert "SECRET" not in str(refusal.value)


def test_the_representation_hides_path_and_query():
    assert repr(parse_url("https://example.com/SECRET?x=SECRET")) == "<EndpointUrl https://example.com>"


@given(st.text() | st.text().map("http://".__add__) | st.text().map("https://example.com".__add__))
def test_any_text_is_read_or_refused_and_never_splits_the_request_line(text):
    try:
        url = parse_url(text)
    except EndpointUrlError:
        return
    line = f"POST {url.target} HTTP/1.1\r\nHost: {url.host_header}"
    assert line.isascii()
    assert len(line.split()) == 5
    assert line.count("\n") == 1
    assert url.target.startswith("/")
    assert 1 <= url.port <= 65535
