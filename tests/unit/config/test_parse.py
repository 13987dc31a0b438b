"""What the configuration file and the environment mean."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from roombell.config import (
    EndpointSettings,
    Keys,
    LimitSettings,
    Settings,
    StoreKind,
    StoreSettings,
    dev_settings,
    load,
    name_of_url,
    parse,
)
from roombell.engine.model import OnDead
from roombell.engine.retry import RetryPolicy
from roombell.engine.router import EventFilter
from roombell.errors import ConfigError

SECRET = "a-secret-of-more-than-thirty-two-characters"

FULL = f"""
port: 7890
bind_addresses: [127.0.0.1, "::1"]
keys:
  APIabc: {SECRET}
  APIdef: {SECRET}2
webhook:
  api_key: APIabc
  urls: [https://app.example.com/livekit]
  filter_params: {{include_events: [room_started, "egress_*"], exclude_events: [track_published]}}
endpoints:
  - name: recordings
    url: https://recordings.example.com/hook
    api_key: APIdef
    include_events: [egress_*]
    exclude_events: [egress_updated]
    rooms: ["acme-*"]
    headers: {{X-Team: media, X-Number: 0123}}
    timeout: 20s
    concurrency: 32
    retry: {{attempts: 5, base_delay: 500ms, max_delay: 1m30s, max_age: 2d}}
    on_dead: block
store: sqlite:///data/roombell.db
retention: 14d
stop_timeout: 5s
limits:
  body_bytes_max: 2MiB
  header_bytes_max: 32768
  connections_max: 100
  accepts_waiting_max: 1_000
  held_deliveries_max: 5000
  held_bytes_max: 16 MiB
"""

LIVEKITS_OWN = f"""
port: 7880
bind_addresses:
  - ""
log_level: info
rtc:
  tcp_port: 7881
  port_range_start: 50000
  use_external_ip: true
redis:
  address: redis.host:6379
room:
  empty_timeout: 300
  enable_full_room_in_webhooks: true
turn: {{enabled: true, domain: turn.example.com}}
keys:
  key1: {SECRET}
webhook:
  api_key: key1
  urls:
    - https://your-host.com/handler
  filter_params:
    exclude_events: [track_published]
  resource_url_notifier: {{max_age: 30s, max_depth: 200}}
  url_notifier: {{num_workers: 10, queue_size: 100}}
"""


def read(text: str, **environ: str) -> Settings:
    return parse(text, source="roombell.yaml", environ=environ)


def only_endpoint(text: str, **environ: str) -> EndpointSettings:
    (endpoint,) = read(text, **environ).endpoints
    return endpoint


def endpoint(more: str) -> EndpointSettings:
    return only_endpoint(f"{{keys: {{a: {SECRET}}}, endpoints: [{{name: e, url: 'https://e.test/', {more}}}]}}")


def test_every_setting_is_read() -> None:
    assert read(FULL) == Settings(
        keys=Keys({"APIabc": SECRET, "APIdef": SECRET + "2"}),
        endpoints=(
            EndpointSettings(
                name="app.example.com_livekit",
                url="https://app.example.com/livekit",
                api_key="APIabc",
                filter=EventFilter(include=("room_started", "egress_*"), exclude=("track_published",)),
            ),
            EndpointSettings(
                name="recordings",
                url="https://recordings.example.com/hook",
                api_key="APIdef",
                filter=EventFilter(include=("egress_*",), exclude=("egress_updated",), rooms=("acme-*",)),
                headers=(("X-Team", "media"), ("X-Number", "0123")),
                timeout_ms=20_000,
                concurrency=32,
                retry=RetryPolicy(attempts=5, base_delay_ms=500, max_delay_ms=90_000, max_age_ms=2 * 86_400_000),
                on_dead=OnDead.BLOCK,
            ),
        ),
        port=7890,
        bind_addresses=("127.0.0.1", "::1"),
        store=StoreSettings(path="data/roombell.db"),
        retention_ms=14 * 86_400_000,
        stop_timeout_ms=5_000,
        limits=LimitSettings(
            body_bytes_max=2 << 20,
            header_bytes_max=32_768,
            connections_max=100,
            accepts_waiting_max=1_000,
            held_deliveries_max=5_000,
            held_bytes_max=16 << 20,
        ),
        source="roombell.yaml",
    )


def test_livekits_own_file_is_taken_as_it_is() -> None:
    settings = read(LIVEKITS_OWN)
    assert settings.ignored_sections == ("log_level", "rtc", "redis", "room", "turn")
    assert (settings.port, settings.bind_addresses) == (7890, ())
    assert [(e.name, e.api_key, e.filter.exclude) for e in settings.endpoints] == [
        ("your-host.com_handler", "key1", ("track_published",))
    ]
    assert settings.notes == (
        "LiveKit server's own sections are ignored: log_level, rtc, redis, room, turn.",
        "port is LiveKit server's in this file and has no effect here; ROOMBELL_PORT sets Roombell's.",
        "bind_addresses is LiveKit server's in this file and has no effect here.",
        "webhook.resource_url_notifier has no effect: the queue is on disk and has no such bounds.",
        "webhook.url_notifier has no effect: the queue is on disk and has no such bounds.",
    )


def test_a_section_of_a_newer_livekit_server_is_ignored_in_a_file_that_is_plainly_livekits() -> None:
    text = f"{{keys: {{a: {SECRET}}}, rtc: {{}}, quantum_relay: {{on: true}}}}"
    assert read(text).ignored_sections == ("rtc", "quantum_relay")


def test_a_misspelt_setting_of_ours_is_refused_in_livekits_file_too() -> None:
    with pytest.raises(ConfigError, match="did you mean webhook"):
        read(f"{{keys: {{a: {SECRET}}}, rtc: {{}}, webhooks: {{}}}}")


def test_the_environment_wins_over_the_file() -> None:
    settings = read(FULL, ROOMBELL_PORT="9000", ROOMBELL_STORE="memory:")
    assert settings.port == 9000
    assert settings.store == StoreSettings(kind=StoreKind.MEMORY, path="")


def test_roombell_port_sets_the_port_beside_livekits_own() -> None:
    assert read(LIVEKITS_OWN, ROOMBELL_PORT="9000").port == 9000


def test_livekit_keys_replaces_the_keys_of_the_file() -> None:
    settings = read(f"keys: {{a: {SECRET}}}", LIVEKIT_KEYS=f"b: {SECRET}\nc: 0123\n")
    assert settings.keys == Keys({"b": SECRET, "c": "0123"})


def test_livekit_api_key_adds_a_pair_and_signs_where_the_file_names_no_key() -> None:
    text = f"{{keys: {{a: {SECRET}}}, webhook: {{urls: ['https://e.test/']}}}}"
    assert only_endpoint(text, LIVEKIT_API_KEY="b", LIVEKIT_API_SECRET=SECRET).api_key == "b"
    assert only_endpoint(text).api_key == "a"


def test_the_key_file_adds_to_the_keys_and_wins_over_them(tmp_path: Path) -> None:
    key_file = tmp_path / "keys.yaml"
    key_file.write_text("a: from the key file\nb: 12345\n")
    key_file.chmod(0o600)
    text = f"{{keys: {{a: {SECRET}, c: {SECRET}}}, key_file: $FOLDER/keys.yaml}}"
    assert read(text, FOLDER=str(tmp_path)).keys == Keys({"a": "from the key file", "b": "12345", "c": SECRET})
    assert read(text.replace("$FOLDER", "~"), HOME=str(tmp_path)).keys["b"] == "12345"
    assert read(f"keys: {{c: {SECRET}}}", LIVEKIT_KEY_FILE=str(key_file)).keys["b"] == "12345"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644])
def test_a_key_file_that_others_may_open_is_refused_with_the_mend(tmp_path: Path, mode: int) -> None:
    key_file = tmp_path / "keys.yaml"
    key_file.write_text(f"a: {SECRET}")
    key_file.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {key_file}"):
        read(f"key_file: {key_file}")


@pytest.mark.parametrize("secret", ["0123", "1e3", "true", "2026-01-02", "1_000", "0x1F", ".5", "yes", "12:30:45"])
def test_a_secret_is_taken_as_it_is_written(secret: str) -> None:
    assert read(f"keys: {{1234: {secret}}}").keys == Keys({"1234": secret})


def test_short_secrets_are_told_without_showing_them() -> None:
    (note, _) = read("keys: {a: swordfish}").notes
    assert "fewer than 32 characters" in note
    assert "swordfish" not in note


def test_what_is_left_out_has_the_documented_default() -> None:
    settings = read(f"keys: {{a: {SECRET}}}")
    assert settings == Settings(
        keys=Keys({"a": SECRET}),
        source="roombell.yaml",
        notes=("No endpoint is configured: events are accepted and kept, and delivered to nobody.",),
    )
    assert endpoint("timeout: ") == EndpointSettings(name="e", url="https://e.test/", api_key="a")


def test_a_maximum_below_the_default_base_delay_lowers_the_base_delay_too() -> None:
    assert endpoint("retry: {max_delay: 1s}").retry.base_delay_ms == 1_000


def test_endpoints_can_share_settings_by_merge_keys() -> None:
    text = f"""
keys: {{a: {SECRET}}}
endpoints:
  - &first {{name: one, url: https://one.test/, timeout: 3s, on_dead: block}}
  - {{<<: *first, name: two, timeout: 4s}}
"""
    one, two = read(text).endpoints
    assert (two.name, two.url, two.timeout_ms, two.on_dead) == ("two", one.url, 4_000, OnDead.BLOCK)


@pytest.mark.parametrize(
    ("text", "kind", "path"),
    [
        ("sqlite:///relative.db", StoreKind.SQLITE, "relative.db"),
        ("sqlite:////var/lib/roombell.db", StoreKind.SQLITE, "/var/lib/roombell.db"),
        ("memory:", StoreKind.MEMORY, ""),
        ("memory://", StoreKind.MEMORY, ""),
    ],
)
def test_a_store_is_named_by_a_url(text: str, kind: StoreKind, path: str) -> None:
    store = read(f"{{keys: {{a: {SECRET}}}, store: '{text}'}}").store
    assert store == StoreSettings(kind=kind, path=path)
    assert store.url == text.removesuffix("//")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://app.example.com/livekit", "app.example.com_livekit"),
        ("https://app.example.com/api/v1/web-hooks", "app.example.com_api_v1_web-hooks"),
        ("https://APP.example.com", "app.example.com"),
        ("https://app.example.com/", "app.example.com"),
        ("http://app.example.com/livekit", "app.example.com-9e8a83da"),
        ("https://app.example.com:8443/livekit", "app.example.com-74f2f08e"),
        ("https://app.example.com/livekit/", "app.example.com-39872a21"),
        ("https://app.example.com/?token=hunter2", "app.example.com-631146c6"),
        ("https://hooks.example.com/T024BE7LD/abcDEF", "hooks.example.com-f355dad1"),
        ("http://[::1]:3000/hook", "_1-7af81bf2"),
    ],
)
def test_an_endpoint_gets_its_name_from_its_url_and_shows_nothing_that_may_be_secret(url: str, name: str) -> None:
    assert name_of_url(url) == name


def test_the_order_of_urls_changes_no_name() -> None:
    urls = ["https://a.test/x", "https://a.test/x/", "http://a.test/x", "https://a.test/x?y"]
    for order in itertools.permutations(urls):
        settings = read(f"{{keys: {{a: {SECRET}}}, webhook: {{urls: {list(order)!r}}}}}")
        assert {e.url: e.name for e in settings.endpoints} == {url: name_of_url(url) for url in urls}
    assert len({name_of_url(url) for url in urls}) == 4


def test_a_url_listed_twice_is_one_endpoint_and_noted() -> None:
    settings = read(f"{{keys: {{a: {SECRET}}}, webhook: {{urls: ['https://a.test', 'https://a.test/']}}}}")
    assert [e.url for e in settings.endpoints] == ["https://a.test"]
    assert settings.notes == ("webhook.urls[1] repeats an earlier URL, which gets every event once.",)


def test_a_filter_for_an_event_that_livekit_does_not_send_is_noted() -> None:
    (note,) = read(
        f"{{keys: {{a: {SECRET}}}, webhook: {{urls: ['https://a.test'], filter_params: {{include_events: [room_startd]}}}}}}"
    ).notes
    assert (
        note
        == "webhook.filter_params.include_events names 'room_startd', which is no event type that LiveKit is known to send."
    )


def test_no_representation_shows_a_secret() -> None:
    text = f"""
keys: {{a: {SECRET}}}
endpoints: [{{name: e, url: "https://e.test/hunter2?token=hunter2", headers: {{X-Token: hunter2}}}}]
"""
    shown = f"{read(text)!r} {read(text)}"
    assert SECRET not in shown
    assert "hunter2" not in shown


def test_development_needs_no_file_and_is_reachable_from_this_machine_alone() -> None:
    settings = dev_settings()
    assert settings == Settings(
        keys=Keys({"devkey": "secret"}),
        bind_addresses=("127.0.0.1",),
        store=StoreSettings(path="roombell-dev.db"),
        dev=True,
    )


def test_development_takes_what_is_said_all_the_same() -> None:
    settings = dev_settings({"ROOMBELL_PORT": "0", "ROOMBELL_STORE": "memory:", "LIVEKIT_KEYS": "a: b"})
    assert (settings.port, settings.store.kind, settings.keys) == (0, StoreKind.MEMORY, Keys({"a": "b"}))
    file = parse("{bind_addresses: ['::'], store: 'sqlite:///x.db'}", source="c.yaml", environ={}, dev=True)
    assert (file.bind_addresses, file.store.path, file.notes) == (("::",), "x.db", ())


def test_an_empty_address_means_every_interface() -> None:
    assert read(f"{{keys: {{a: {SECRET}}}, bind_addresses: ['']}}").bind_addresses == ()


def test_a_store_in_memory_is_noted() -> None:
    assert (
        "everything is lost when the process ends" in read(f"keys: {{a: {SECRET}}}", ROOMBELL_STORE="memory:").notes[1]
    )


def test_load_takes_the_given_path_then_roombell_config_then_livekit_config(tmp_path: Path) -> None:
    given, named = tmp_path / "given.yaml", tmp_path / "named.yaml"
    given.write_text(f"keys: {{given: {SECRET}}}")
    named.write_bytes(b"\xef\xbb\xbf" + f"keys: {{named: {SECRET}}}".encode())
    environ = {"ROOMBELL_CONFIG": str(named), "LIVEKIT_CONFIG": f"keys: {{body: {SECRET}}}"}
    assert [*load(given, environ).keys] == ["given"]
    assert [*load(None, environ).keys] == ["named"]
    assert load(None, environ).source == str(named)
    assert [*load(None, {"LIVEKIT_CONFIG": environ["LIVEKIT_CONFIG"]}).keys] == ["body"]
    assert [*load(None, {"LIVEKIT_KEYS": f"env: {SECRET}"}).keys] == ["env"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    for path in (missing, tmp_path, Path("nul\0byte")):
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        assert str(caught.value).startswith((str(missing), str(tmp_path), "'nul"))


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin1.yaml"
    path.write_bytes(b"port: 1\nkeys: {a: caf\xe9}\n")
    with pytest.raises(ConfigError, match=f"{path}:2: the file is not UTF-8 here"):
        load(path, {})


def test_a_store_on_postgresql_and_its_lease_are_read() -> None:
    text = "keys: {a: b}\nstore: postgresql://me:hush@db:5432/events?pool_size=3\nlease: 30s"
    settings = parse(text, source="c.yaml", environ={})
    assert settings.store.kind is StoreKind.POSTGRESQL
    assert settings.store.postgres is not None
    assert (settings.store.postgres.pool_size, settings.lease_ms) == (3, 30_000)
    assert settings.store.url == "postgresql://me:***@db:5432/events"
    assert "hush" not in repr(settings)
