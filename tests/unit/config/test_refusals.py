"""Every refusal names file, line, setting and what was expected, and shows no secret."""

from __future__ import annotations

import pytest

from roombell.config import parse
from roombell.errors import ConfigError

KEYS = "keys: {a: a-secret-of-more-than-thirty-two-characters}\n"


def refusal(text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, source="c.yaml", environ=environ)
    return str(caught.value)


def endpoint(more: str) -> str:
    return f"{KEYS}endpoints:\n- name: e\n  url: https://e.test/\n  {more}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (KEYS + "prot: 1", "c.yaml:2: prot: there is no such setting; did you mean port?"),
        (KEYS + "webhok:\n  urls: [x]", "c.yaml:2: webhok: there is no such setting; did you mean webhook?"),
        (KEYS + "port: http", "c.yaml:2: port: expected a whole number, found 'http'"),
        (KEYS + "port: 70000", "c.yaml:2: port: must be from 0 to 65535, found '70000'"),
        (KEYS + "port: -1", "c.yaml:2: port: must be from 0 to 65535, found '-1'"),
        (KEYS + "port: 0x1F", "c.yaml:2: port: expected a whole number, found '0x1F'"),
        (KEYS + "port: [1]", "c.yaml:2: port: expected text, found a list"),
        (KEYS + "port: 1\nport: 2", "c.yaml:3: port: given twice; keep one of them"),
        (KEYS + "port: !!python/object:os.system 1", "c.yaml:2: port: expected text, found text with the tag 'tag:yaml.org,2002:python/object:os.system'; leave the tag out"),
        (KEYS + "bind_addresses: [localhost]", "c.yaml:2: bind_addresses[0]: expected an IP address, such as 127.0.0.1 or ::"),
        (KEYS + "retention: 7", "c.yaml:2: retention: expected a duration with its unit, such as 500ms, 15s, 5m, 72h, 7d or 1h30m, found '7'"),
        (KEYS + "retention: 5s", "c.yaml:2: retention: must be from 1m to 3650d, found '5s'"),
        (KEYS + "retention: -7d", "c.yaml:2: retention: expected a duration with its unit, such as 500ms, 15s, 5m, 72h, 7d or 1h30m, found '-7d'"),
        (KEYS + "limits: {body_bytes_max: 1MB}", "c.yaml:2: limits.body_bytes_max: expected a number of bytes, such as 65536, 64KiB or 1MiB, found '1MB'"),
        (KEYS + "limits: {body_bytes_max: 1}", "c.yaml:2: limits.body_bytes_max: must be from 1KiB to 64MiB, found '1'"),
        (KEYS + "limits: {body_max: 1}", "c.yaml:2: limits.body_max: there is no such setting; did you mean body_bytes_max?"),
        (KEYS + "limits: 3", "c.yaml:2: limits: expected a section of settings, found text"),
        (KEYS + "store: mysql://x", "c.yaml:2: store: expected sqlite:///relative.db, sqlite:////absolute.db, postgresql://user@host/database or memory:"),
        (KEYS + "store: sqlite://x.db", "c.yaml:2: store: expected sqlite:///relative.db, sqlite:////absolute.db, postgresql://user@host/database or memory:"),
        (KEYS + "store: 'sqlite:///:memory:'", "c.yaml:2: store: write memory: for a store in memory; it loses everything when the process ends"),
        (KEYS + "store: postgresql://user:hunter2@host/db?pool_size=0", "c.yaml:2: store: pool_size is a number from 1 to 100"),
        (KEYS + "webhook: {url: x}", "c.yaml:2: webhook.url: there is no such setting; did you mean urls?"),
        (KEYS + "webhook: {urls: x}", "c.yaml:2: webhook.urls: expected a list, found text"),
        (KEYS + "webhook: {urls: [app.example.com]}", "c.yaml:2: webhook.urls[0]: The URL is not absolute: write it with scheme and host, as https://app.example.com/hook."),
        (KEYS + "webhook: {api_key: other, urls: ['https://a.test']}", "c.yaml:2: webhook.api_key: api_key is not one of the keys; there are: a"),
        ("keys: {a: x, b: y}\nwebhook: {urls: ['https://a.test']}", "c.yaml:2: webhook.urls[0]: api_key is required to use webhooks: say which of the keys signs (a, b)"),
        (KEYS + "endpoints: [{url: 'https://a.test'}]", "c.yaml:2: endpoints[0]: the endpoint has no name"),
        (KEYS + "endpoints: [{name: e}]", "c.yaml:2: endpoints[0]: the endpoint has no url"),
        (KEYS + "endpoints: [{name: e e}]", "c.yaml:2: endpoints[0].name: expected 1 to 64 letters, digits, '.', '_' or '-'"),
        (endpoint("api_key: other"), "c.yaml:5: endpoints[0].api_key: api_key is not one of the keys; there are: a"),
        (endpoint("timeout: 1h"), "c.yaml:5: endpoints[0].timeout: must be from 100ms to 10m, found '1h'"),
        (endpoint("concurrency: 0"), "c.yaml:5: endpoints[0].concurrency: must be from 1 to 1024, found '0'"),
        (endpoint("concurrency: 1025"), "c.yaml:5: endpoints[0].concurrency: must be from 1 to 1024, found '1025'"),
        (endpoint("on_dead: stop"), "c.yaml:5: endpoints[0].on_dead: expected skip or block, found 'stop'"),
        (endpoint("retry: {attempts: 0}"), "c.yaml:5: endpoints[0].retry.attempts: must be from 1 to 1000, found '0'"),
        (endpoint("retry: {tries: 1}"), "c.yaml:5: endpoints[0].retry.tries: there is no such setting; there are attempts, base_delay, max_age, max_delay"),
        (endpoint("retry: {base_delay: 2m, max_delay: 1m}"), "c.yaml:5: endpoints[0].retry.base_delay: base_delay is longer than max_delay"),
        (endpoint("rooms: [[x]]"), "c.yaml:5: endpoints[0].rooms[0]: expected text, found a list"),
        (endpoint("rooms: ['']"), "c.yaml:5: endpoints[0].rooms[0]: expected text, found nothing"),
        (endpoint("headers: {X-A: }"), "c.yaml:5: endpoints[0].headers.X-A: expected text, found nothing"),
        (endpoint("headers: {Content-Type: x}"), "c.yaml:5: endpoints[0].headers: Header 'Content-Type' is set by the protocol and cannot be overwritten: choose another name."),
        (KEYS + "endpoints:\n- {name: e, url: 'https://a.test'}\n- {name: e, url: 'https://b.test'}", "c.yaml:4: endpoints[1]: there is another endpoint named e; names are unique"),
        ("keys: {a:hush}", 'c.yaml:1: keys.a:…: it is "key: secret", one pair a line, with the space'),
        ("keys: [a]", 'c.yaml:1: keys: expected API keys with their secrets; it is "key: secret", one pair a line, with the space'),
        ("keys: {a: [b]}", "c.yaml:1: keys.a: expected the secret as text; a secret with special characters needs quotes"),
        ("keys: {a: }", "c.yaml:1: keys.a: expected the secret as text; a secret with special characters needs quotes"),
        ("keys: {a: ''}", "c.yaml:1: keys.a: expected text, found nothing"),
        ("keys: {a: x, a: y}", "c.yaml:1: keys.a: given twice; keep one of them"),
        ('keys: {a: "\\ud800"}', "c.yaml:1: keys.a: the text holds a character that is none (NUL or half of a surrogate pair)"),
        ("", "c.yaml: keys: no API key is given: write keys: {APIabc: secret}, name a key_file, or set LIVEKIT_KEYS, or LIVEKIT_API_KEY and LIVEKIT_API_SECRET"),
        ("keys:\n\ta: b", "c.yaml:2: a tab stands where YAML wants spaces; indent with spaces"),
        ("a: b: c", "c.yaml:1: this is no YAML: mapping values are not allowed here"),
        ("port: 1\n---\nport: 2", "c.yaml:2: a second YAML document begins here (---); keep one"),
        ("port: \x07", "c.yaml:1: there is a control character here; remove it"),
        ('port: "\\UFFFFFFFF"', "c.yaml: this is no YAML: an escape or a character in it has no meaning"),
        ("just text", "c.yaml:1: expected a section of settings, found text"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_place_and_mend(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ROOMBELL_PORT": "http"}, "ROOMBELL_PORT: expected a whole number, found 'http'"),
        ({"ROOMBELL_STORE": "x"}, "ROOMBELL_STORE: expected sqlite:///relative.db, sqlite:////absolute.db, postgresql://user@host/database or memory:"),
        ({"LIVEKIT_KEYS": "a:b"}, 'LIVEKIT_KEYS:1: expected API keys with their secrets; it is "key: secret", one pair a line, with the space'),
        ({"LIVEKIT_API_KEY": "a"}, "LIVEKIT_API_KEY: LIVEKIT_API_SECRET is missing: the two go together"),
        ({"LIVEKIT_API_SECRET": "a"}, "LIVEKIT_API_SECRET: LIVEKIT_API_KEY is missing: the two go together"),
        ({"LIVEKIT_API_SECRET": "a\udcff", "LIVEKIT_API_KEY": "a"}, "LIVEKIT_API_SECRET: the text holds a character that is none (NUL or half of a surrogate pair)"),
        ({"LIVEKIT_KEY_FILE": "/nowhere/keys.yaml"}, "/nowhere/keys.yaml: key_file: the file cannot be read: No such file or directory"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_refused_by_name(environ: dict[str, str], message: str) -> None:
    assert refusal(KEYS, **environ) == message


@pytest.mark.parametrize(
    "text",
    [
        "keys: {a: *hunter2}",
        "keys: {a: !hunter2!x y}",
        "keys: {a: &hunter2 x, b: &hunter2 x}\n---\nx",
        "keys: {a: 'hunter2}",
        "keys: {a: [hunter2]}",
        "keys: hunter2",
        "keys: [hunter2]",
        "keys: {a: !!binary hunter2}",
        "keys: {a: x}\nwebhook: {api_key: hunter2, urls: ['https://a.test']}",
        "keys: {a: x}\nwebhook: {urls: ['ftp://a.test/hunter2']}",
        "keys: {a: x}\nwebhook: {urls: ['https://user:hunter2@a.test/']}",
        "keys: {a: x}\nstore: postgresql://user:hunter2@host/db?pool=1",
        "keys: {a: x}\nendpoints: [{name: e, url: 'https://e.test', headers: {X-A: \"hunter2\\r\\nHost: x\"}}]",
    ],
)
def test_no_refusal_shows_what_may_be_a_secret(text: str) -> None:
    assert "hunter2" not in refusal(text)


def test_aliases_that_multiply_end_as_an_error() -> None:
    layers = "\n".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 60)}]}}" for i in range(1, 8))
    text = f"rtc: {{}}\na0: &a0 {{x: 1, y: 2}}\n{layers}\nlimits: {{<<: *a7}}\n{KEYS}"
    assert "the file holds more than 20,000 values once its aliases are followed" in refusal(text)


def test_a_section_that_merges_itself_ends_as_an_error() -> None:
    assert "merged more than 16 deep" in refusal(f"{KEYS}limits: &l {{<<: *l}}")


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000, "&a [*a]"])
def test_deep_and_circular_files_end_as_an_error(text: str) -> None:
    refusal(text)


def test_a_file_beyond_the_limit_is_refused() -> None:
    assert refusal("#" * 1_048_577) == "c.yaml: the file is larger than 1,048,576 bytes"
