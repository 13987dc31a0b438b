import pytest

from roombell.errors import UsageError
from roombell.settings import StoreSettings
from roombell.stores.postgres.url import masked, parse_url
from roombell.stores.text import kept, shown


def test_a_url_is_taken_as_libpq_takes_it_and_ours_are_taken_out() -> None:
    url = parse_url("postgresql://me:p%40ss@db.internal:5433/events?sslmode=require&pool_size=9")
    assert url.dsn == "postgresql://me:p%40ss@db.internal:5433/events?sslmode=require"
    assert (url.pool_size, url.pooled, url.listen_dsn) == (9, False, url.dsn)


def test_listen_names_the_database_behind_a_pooler() -> None:
    url = parse_url("postgres://me:pw@pooler:6432/events?listen=db:5432")
    assert (url.dsn, url.listen_dsn) == ("postgresql://me:pw@pooler:6432/events", "postgresql://me:pw@db:5432/events")
    assert url.pooled


def test_with_several_hosts_the_one_that_takes_writes_is_looked_for() -> None:
    assert "target_session_attrs=read-write" in parse_url("postgresql://me@a:5432,b:5432/events").dsn


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql:me", "expected postgresql://"),
        ("postgresql://me@a/b#c", "%23"),
        ("postgresql://me@a/b?pool=3", "unknown parameter 'pool'"),
        ("postgresql://me@a/b?pool_size=0", "from 1 to 100"),
        ("postgresql://me@a/b?pool_size=x", "from 1 to 100"),
        ("postgresql://me@a/b?listen=db", "HOST:PORT"),
        ("postgresql://[::1/b", "cannot be read"),
        ("postgresql://me@a:54x/b", "from 1 to 65535"),
        ("postgresql://me@a:5432,b:0/b", "from 1 to 65535"),
        ("postgresql://me:hu/sh@a/b", "%2F"),
        ("postgresql://me:12/hush@a/b", "%2F"),
        ("postgresql://me:hu?sh@a/b", "%3F"),
        ("postgresql://me:12?hush@a/b", "%3F"),
        ("postgresql://me:hu#sh@a/b", "%23"),
    ],
)
def test_a_wrong_url_is_refused_with_what_was_expected(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse_url(url)
    assert "hu" not in str(caught.value)


@pytest.mark.parametrize("hosts", ["[::1]", "[::1]:5432", "a", "a:1,b", "me:p%40ss@[::1]:5432,b:65535"])
def test_hosts_and_ports_are_taken(hosts: str) -> None:
    assert f"//{hosts}/b" in parse_url(f"postgresql://{hosts}/b").dsn


@pytest.mark.parametrize(
    "url", ["postgresql://me:hush@h/d", "postgresql://h/d?password=hush&user=me", "postgresql://me:hu:sh@a,b/d"]
)
def test_no_password_is_shown(url: str) -> None:
    store = StoreSettings.of_url(url)
    for text in (repr(store), store.url, masked(url), parse_url(url).where):
        assert "hush" not in text
        assert "hu:sh" not in text


@pytest.mark.parametrize("text", ["", "room", "a\0b", "a\\b", "\\0", "\0\\\0", "\\\\0", "räum\0\\"])
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assert "\0" not in kept(text)
    assert shown(kept(text)) == text
