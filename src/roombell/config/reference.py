"""Every setting there is: the one list that the reader accepts and that the documentation is made from."""

from __future__ import annotations

from typing import Final

import msgspec


class Setting(msgspec.Struct, frozen=True):
    """One setting, as ``docs/reference/configuration.md`` shows it. ``default`` is as it would be written."""

    key: str
    kind: str
    default: str
    meaning: str


REFERENCE: Final = (
    Setting("port", "port", "7890", "The port of the HTTP service, 0 to 65535; 0 lets the system choose. In a file that also holds LiveKit server's own sections the `port` is LiveKit's and is left alone: use `ROOMBELL_PORT`."),
    Setting("bind_addresses", "list of addresses", "[]", "The addresses to listen on; none given means every interface. LiveKit's, like `port`, in LiveKit's own file."),
    Setting("keys", "API key: secret", "", "The API keys: what comes in must be signed by one of them, what goes out is signed with one. Names and secrets are taken as they are written, digits included."),
    Setting("key_file", "path", "", "A YAML file of `API key: secret` lines that are added to `keys`. Refused when others may read it: `chmod 600` it. `~` and `$NAME` are expanded."),
    Setting("store", "URL", "sqlite:///roombell.db", 'Where events are kept. `sqlite:///relative.db` (to the working directory), `sqlite:////absolute.db`, `postgresql://user:password@host:5432/database` for any number of workers (`pip install "roombell[postgres]"`), or `memory:`, which loses everything when the process ends.'),
    Setting("lease", "duration", "60s", "How long a worker that has died, or was cut off, keeps its lanes before another one takes them over. Means something where workers share a store on PostgreSQL. 5s to 10m."),
    Setting("retention", "duration", "7d", "How long events are kept after their deliveries are settled. 1m to 3650d."),
    Setting("stop_timeout", "duration", "5s", "How long a stopping service waits for the attempts in flight. 0 to 10m."),
    Setting("webhook.api_key", "API key", "", "Which of `keys` signs for the endpoints that name none. May be left out where there is only one key, or where `LIVEKIT_API_KEY` names it."),
    Setting("webhook.urls", "list of URLs", "[]", "Each becomes an endpoint with the default settings. Its name is made from the URL alone, so the order of the list means nothing."),
    Setting("webhook.filter_params.include_events", "list of patterns", "[]", "Only these event types go to `urls`; where it is given, `exclude_events` means nothing."),
    Setting("webhook.filter_params.exclude_events", "list of patterns", "[]", "These event types do not go to `urls`."),
    Setting("webhook.resource_url_notifier", "section", "", "LiveKit's bounds on its queue in memory. Read and without effect: the queue is on disk, see `endpoints[].retry`."),
    Setting("webhook.url_notifier", "section", "", "LiveKit's, without effect there and here."),
    Setting("endpoints[].name", "name", "", "Required and unique: 1 to 64 letters, digits, `.`, `_` or `-`. Pending deliveries belong to the name: keep it when the URL moves."),
    Setting("endpoints[].url", "URL", "", "Required. An absolute `http` or `https` URL."),
    Setting("endpoints[].api_key", "API key", "", "Which of `keys` signs; by default `webhook.api_key`."),
    Setting("endpoints[].include_events", "list of patterns", "[]", "Only these event types; where it is given, `exclude_events` means nothing. Patterns are shell globs: `egress_*`."),
    Setting("endpoints[].exclude_events", "list of patterns", "[]", "All event types but these."),
    Setting("endpoints[].rooms", "list of patterns", "[]", "Only events of these rooms, by name. Events that belong to no room are left out then."),
    Setting("endpoints[].headers", "name: value", "", "Headers to send along. The protocol's own (`Authorization`, `Content-Type`, `Webhook-*` and the like) cannot be set."),
    Setting("endpoints[].secrets", "list of secrets", "[]", "Standard Webhooks secrets (`whsec_...`). Each signs, besides LiveKit's token, in `Webhook-Signature`; list the old and the new one while receivers change over. `$NAME` is expanded."),
    Setting("endpoints[].network.allow", "list of networks", "[]", "See `network.allow`. Where an endpoint has a section `network`, it stands in place of the one for all."),
    Setting("endpoints[].network.deny", "list of networks", "[]", "See `network.deny`."),
    Setting("endpoints[].proxy", "URL or none", "", "A forward proxy, as `http://user:password@proxy.example.com:3128`; `$NAME` is expanded. `none`: no proxy. Not given: what the environment says, see `HTTPS_PROXY`."),
    Setting("endpoints[].tls.ca", "path", "", "A PEM file of the certificate authorities to trust for this endpoint, in place of the system's. `$NAME` is expanded in paths; they are relative to the working directory."),
    Setting("endpoints[].tls.cert", "path", "", "A PEM file with the client certificate, and those between it and its authority, for endpoints that ask for one (mutual TLS)."),
    Setting("endpoints[].tls.key", "path", "", "A PEM file with its private key, without passphrase; may be left out where the key stands in `cert`."),
    Setting("endpoints[].tls.min_version", "1.2 or 1.3", "1.2", "The oldest version of TLS that is spoken with this endpoint."),
    Setting("endpoints[].timeout", "duration or section", "15s", "For a whole attempt: connecting, sending, and waiting for the answer's headers. 100ms to 10m. Or a section that bounds its parts too."),
    Setting("endpoints[].timeout.total", "duration", "15s", "The whole attempt. 100ms to 10m."),
    Setting("endpoints[].timeout.connect", "duration", "", "Until the connection is ready: resolving, connecting, the proxy, the TLS handshake. Kept connections need none of it. 1ms to `total`."),
    Setting("endpoints[].timeout.wait", "duration", "", "From sending the request to the end of the answer's headers. 1ms to `total`."),
    Setting("endpoints[].concurrency", "number", "64", "How many attempts may be under way at once, each in a lane of its own. 1 to 1024."),
    Setting("endpoints[].rate_limit", "rate", "", "How many attempts may begin in a second, minute or hour: `50/s`, `300/m`, `1000/h`. Not given: as many as `concurrency` allows and the endpoint shows it can take. Up to 100000/s."),
    Setting("endpoints[].retry.attempts", "number", "8", "Attempts in all, the first included; then the delivery is dead. 1 to 1000."),
    Setting("endpoints[].retry.base_delay", "duration", "5s", "The longest first delay; it grows threefold from attempt to attempt. 1ms to 24h."),
    Setting("endpoints[].retry.max_delay", "duration", "5m", "The longest delay, also for what `Retry-After` asks. From `base_delay` to 24h."),
    Setting("endpoints[].retry.max_age", "duration", "72h", "How old an event may be when an attempt is begun; older, it is dead. 1s to 3650d."),
    Setting("endpoints[].on_dead", "skip or block", "skip", "What a lane does when a delivery in it is dead: go on with the next, or wait for a person."),
    Setting("network.allow", "list of networks", "[]", "Networks that endpoints may be in, as `10.0.0.0/8`, `fd00::/8` or one address, beyond what is allowed anyway: everything but link-local addresses and the metadata services of clouds. The smallest network that holds an address decides; of two equal ones `deny`."),
    Setting("network.deny", "list of networks", "[]", "Networks that endpoints may not be in. What counts is the address that is connected to, however the URL spells it and whatever its name resolves to."),
    Setting("operations.url", "URL", "", "Where operational events are posted: endpoints that fail, recover or are disabled, deliveries given up, backlogs that grow. Required in the section."),
    Setting("operations.api_key", "API key", "", "Which of `keys` signs them; by default `webhook.api_key`."),
    Setting("limits.body_bytes_max", "bytes", "1MiB", "The largest webhook body that is taken; larger ones get 413. 1KiB to 64MiB."),
    Setting("limits.header_bytes_max", "bytes", "64KiB", "The largest request head that is taken. 1KiB to 1MiB."),
    Setting("limits.connections_max", "number", "4096", "Connections to the service at once. 1 to 1000000."),
    Setting("limits.accepts_waiting_max", "number", "4096", "Events that wait for the commit at once; past it the answer is 503. 1 to 1000000."),
    Setting("limits.held_deliveries_max", "number", "20000", "Deliveries held in memory at once; the rest of the backlog stays in the store. 100 to 10000000."),
    Setting("limits.held_bytes_max", "bytes", "64MiB", "The bodies of those together. 1MiB to 64GiB."),
)  # fmt: skip

ENVIRONMENT: Final = (
    ("ROOMBELL_CONFIG", "The path of the file, where `--config` names none."),
    ("ROOMBELL_PORT", "Wins over `port`."),
    ("ROOMBELL_STORE", "Wins over `store`."),
    ("LIVEKIT_CONFIG", "The file's text itself, where no file is named, as for LiveKit server."),
    ("LIVEKIT_KEYS", "`key: secret`, one pair a line. Replaces `keys`, as for LiveKit server."),
    ("LIVEKIT_KEY_FILE", "Wins over `key_file`."),
    ("LIVEKIT_API_KEY", "With `LIVEKIT_API_SECRET`: one more pair, and the key that signs where the file names none."),
    ("LIVEKIT_API_SECRET", "See `LIVEKIT_API_KEY`."),
    (
        "HTTPS_PROXY",
        "The forward proxy for https endpoints that name none, as for LiveKit server; `https_proxy` is read too. Never for `localhost` and loopback addresses.",
    ),
    ("HTTP_PROXY", "The same for http endpoints."),
    (
        "NO_PROXY",
        "Hosts that are reached without it: names (with what is below them), `.domain` (only what is below it), addresses, networks as `10.0.0.0/8`, `*` for all; a `:port` may follow. Separated by commas.",
    ),
)

# Top-level names of livekit-server's configuration that mean nothing here (pkg/config/config.go and config-sample.yaml).
LIVEKIT_SECTIONS: Final = frozenset(
    (
        "agents", "api", "audio", "development", "egress", "enable_data_tracks", "environment", "forward_stats", "ingress",
        "limit", "log_level", "logging", "metric", "node_selector", "node_stats", "prometheus", "prometheus_port", "psrpc",
        "redis", "region", "room", "rtc", "signal_relay", "sip", "trace", "tracing", "turn", "video",
    )
)  # fmt: skip

_INTRODUCTION: Final = """\
# Configuration

<!-- Made by roombell.config.reference_markdown() from the list that the program itself reads by. -->

`roombell serve --config FILE` reads one YAML file. LiveKit server's own file can be given as it is: `keys`, `key_file`
and `webhook` are read as LiveKit reads them, and LiveKit's other sections are ignored, which one line at the start says.
Anything else that is not listed here is refused, with file, line, setting and what was expected.

Durations are written with their unit: `500ms`, `15s`, `5m`, `72h`, `7d`, `1h30m`. Sizes are bytes, or `KiB`, `MiB` and
`GiB`. Patterns are shell globs, matched with case. A setting that is left empty counts as not given. YAML's anchors,
aliases and merge keys (`<<`) work, so endpoints can share settings.

With `--dev` nothing need be given. What is not set then is LiveKit's development key (`devkey` with `secret`), the
loopback address and `sqlite:///roombell-dev.db`.

```yaml
port: 7890
keys: {APIabc: secret}
webhook:
  api_key: APIabc
  urls: [https://app.example.com/livekit]
endpoints:
  - name: recordings
    url: https://recordings.example.com/hook
    include_events: [egress_*]
    rooms: ["acme-*"]
    headers: {X-Team: media}
    timeout: 15s
    retry: {attempts: 8, max_delay: 5m, max_age: 72h}
    on_dead: skip
store: sqlite:///roombell.db
retention: 7d
```

## Settings

| Setting | Type | Default | Meaning |
|---|---|---|---|
"""

_ENVIRONMENT_INTRODUCTION: Final = """
## Environment

The environment wins over the file. Keys come together in this order, later ones winning over earlier ones of the same
name: `keys` (or `LIVEKIT_KEYS` in its place), `key_file`, then `LIVEKIT_API_KEY` with `LIVEKIT_API_SECRET`.

| Variable | Meaning |
|---|---|
"""


def known(section: str = "") -> frozenset[str]:
    """The names of the settings in a section, ``""`` for the top level, as ``endpoints[].retry``."""
    prefix = f"{section}." if section else ""
    keys = (setting.key.removeprefix(prefix) for setting in REFERENCE if setting.key.startswith(prefix))
    return frozenset(key.partition(".")[0].removesuffix("[]") for key in keys)


def reference_markdown() -> str:
    """The text of ``docs/reference/configuration.md``."""
    settings = (
        f"| `{setting.key}` | {setting.kind} | {f'`{setting.default}`' if setting.default else ''} | {setting.meaning} |\n"
        for setting in REFERENCE
    )
    variables = (f"| `{name}` | {meaning} |\n" for name, meaning in ENVIRONMENT)
    return "".join((_INTRODUCTION, *settings, _ENVIRONMENT_INTRODUCTION, *variables))
