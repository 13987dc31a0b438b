"""The whole service over real sockets, in front of a notifier that does as the test says."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from roombell.engine.hooks import (
    AttemptFinished,
    CommitFailed,
    Committed,
    DeliveryDead,
    EventAccepted,
    EventRefused,
    LeaseLost,
)
from roombell.engine.model import (
    Accepted,
    AttemptRecord,
    Delivery,
    EndpointId,
    EndpointState,
    EndpointStatus,
    LaneId,
    Sequence,
)
from roombell.errors import Overloaded, Stopped, StoreFull, StoreUnavailable
from roombell.service.app import Service, ServiceOptions
from roombell.service.dev_page import as_line
from roombell.service.limits import HttpLimits
from roombell.service.metric_table import METRICS, reference_page
from roombell.settings import Keys, LimitSettings, Settings
from roombell.signing import KeyRing

KEYS = KeyRing({"devkey": "secret", "other": "secret2"})
EVENT = (
    b'{"event":"participant_joined","room":{"sid":"RM_1","name":"demo","turnPassword":"hush-turn"},'
    b'"participant":{"sid":"PA_1","identity":"ann"},"id":"EV_1","createdAt":"1000000"}'
)


class FakeNotifier:
    def __init__(self) -> None:
        self.running = True
        self.events = []
        self.futures: list[asyncio.Future[Accepted]] = []
        self.error: Exception | None = None
        self.answer_at_once = True
        self.statuses: tuple[EndpointStatus, ...] = ()
        self.store_error: Exception | None = None
        self.asked = 0

    def submit(self, event):
        if self.error is not None:
            raise self.error
        future = asyncio.get_running_loop().create_future()
        self.events.append(event)
        self.futures.append(future)
        if self.answer_at_once:
            future.set_result(Accepted(duplicate=len([e for e in self.events if e.id == event.id]) > 1))
        return future

    async def endpoints(self):
        self.asked += 1
        if self.store_error is not None:
            raise self.store_error
        return self.statuses


class ServiceRig:
    def __init__(self, rig, notifier, service) -> None:
        self.rig, self.notifier, self.service = rig, notifier, service
        self.shown: list[str] = []

    async def client(self):
        return await self.rig.connect(self.service.port)

    async def get(self, path: str, headers: str = ""):
        client = await self.client()
        answer = await client.ask(f"GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode())
        await client.close()
        return answer

    async def post(self, body=EVENT, authorization=..., path="/webhook", headers=b""):
        client = await self.client()
        answer = await client.ask(self.raw(body, authorization, path, headers))
        await client.close()
        return answer

    def raw(self, body=EVENT, authorization=..., path="/webhook", headers=b"") -> bytes:
        if authorization is ...:
            authorization = KEYS.sign(body, api_key="devkey", now=self.rig.clock.s)
        token = f"Authorization: {authorization}\r\n".encode() if authorization is not None else b""
        head = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % (path.encode(), len(body))
        return head + token + headers + b"\r\n" + body

    async def metrics(self) -> dict[str, float]:
        text = (await self.get("/metrics")).body.decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in lines}


@pytest.fixture
async def app(rig, clock):
    shown = []
    notifier = FakeNotifier()
    options = ServiceOptions(port=0, hosts=("127.0.0.1",), limits=HttpLimits(body_bytes_max=10_000), stop_s=0.1)
    service = Service(options, notifier, KEYS, clock, log_lines_dropped=lambda: 3)
    await service.start()
    app = ServiceRig(rig, notifier, service)
    app.shown = shown
    yield app
    await service.stop()


@pytest.fixture
async def dev(rig, clock):
    shown = []
    options = ServiceOptions(port=0, hosts=("127.0.0.1",), stop_s=0.1)
    service = Service(options, FakeNotifier(), KEYS, clock, show=shown.append)
    await service.start()
    app = ServiceRig(rig, FakeNotifier(), service)
    app.shown = shown
    yield app
    await service.stop()


# Ingest ----------------------------------------------------------------------------------------------------------


async def test_a_signed_webhook_is_answered_when_it_is_on_disk(app):
    app.notifier.answer_at_once = False
    client = await app.client()
    client.send(app.raw())
    await app.rig.until(lambda: app.notifier.futures)
    assert (await app.metrics())["roombell_ingest_waiting"] == 1
    assert app.notifier.events[0].raw == EVENT
    app.notifier.futures[0].set_result(Accepted(duplicate=False))
    answer = await client.answer()
    assert (answer.status, answer.json) == (200, {"id": "EV_1", "duplicate": False})
    assert (await app.metrics())["roombell_ingest_waiting"] == 1, "a page serves for a while, whoever asks"
    app.rig.clock.s += 1
    assert (await app.metrics())["roombell_ingest_waiting"] == 0


async def test_a_repeat_is_answered_as_a_duplicate(app):
    assert (await app.post()).json == {"id": "EV_1", "duplicate": False}
    assert (await app.post()).json == {"id": "EV_1", "duplicate": True}


@pytest.mark.parametrize("content_type", ["application/webhook+json", "application/json", "text/plain", None])
async def test_the_content_type_does_not_matter(app, content_type):
    headers = f"Content-Type: {content_type}\r\n".encode() if content_type else b""
    assert (await app.post(headers=headers)).status == 200


@pytest.mark.parametrize("prefix", ["", "Bearer "])
async def test_any_of_our_keys_signs(app, prefix):
    token = KEYS.sign(EVENT, api_key="other", now=app.rig.clock.s)
    assert (await app.post(authorization=prefix + token)).status == 200


@pytest.mark.parametrize(
    ("authorization", "word"),
    [(None, "Authorization"), ("nonsense", "token"), (KeyRing({"x": "y"}).sign(EVENT, api_key="x", now=1e6), "'x'")],
)
async def test_what_is_not_signed_by_us_is_401_with_the_reason(app, authorization, word):
    answer = await app.post(authorization=authorization)
    assert answer.status == 401
    assert word in answer.json["message"]
    assert (await app.metrics())[f'roombell_events_rejected_total{{reason="{answer.json["error"]}"}}'] == 1
    assert app.notifier.events == []


async def test_a_changed_body_is_401(app):
    token = KEYS.sign(EVENT, api_key="devkey", now=app.rig.clock.s)
    assert (await app.post(EVENT.replace(b"ann", b"bob"), token)).status == 401


async def test_an_expired_token_is_401_by_our_clock(app):
    token = KEYS.sign(EVENT, api_key="devkey", now=app.rig.clock.s)
    app.rig.clock.s += 3_600
    assert (await app.post(authorization=token)).status == 401


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"event":1}', b"\xff"])
async def test_a_signed_body_that_is_no_event_is_400(app, body):
    answer = await app.post(body)
    assert (answer.status, answer.json["error"]) == (400, "not_an_event")


async def test_a_body_too_large_is_413_and_counted(app):
    assert (await app.post(b"x" * 10_001, "t")).status == 413
    assert (await app.metrics())['roombell_events_rejected_total{reason="body_too_large"}'] == 1


@pytest.mark.parametrize(
    ("error", "code", "retry_after"),
    [
        (Overloaded("Full.", retry_after_s=9), "overloaded", "9"),
        (Stopped("It stops."), "stopped", "1"),
    ],
)
async def test_what_cannot_be_taken_now_is_503_with_retry_after(app, error, code, retry_after):
    app.notifier.error = error
    answer = await app.post()
    assert (answer.status, answer.json["error"], answer.headers["retry-after"]) == (503, code, retry_after)
    assert (await app.metrics())[f'roombell_events_rejected_total{{reason="{code}"}}'] == 1


async def test_what_cannot_be_written_is_503(app):
    app.notifier.answer_at_once = False
    client = await app.client()
    client.send(app.raw() + app.raw())
    await app.rig.until(lambda: len(app.notifier.futures) == 2)
    app.notifier.futures[0].set_exception(StoreFull("The disk is full."))
    app.notifier.futures[1].cancel()
    first, second = await client.answer(), await client.answer()
    assert (first.status, first.json) == (503, {"error": "store_full", "message": "The disk is full."})
    assert (second.status, second.headers["retry-after"]) == (503, "1")
    assert (await app.metrics())["roombell_ingest_waiting"] == 0


async def test_an_event_is_taken_though_its_sender_has_gone(app):
    app.notifier.answer_at_once = False
    client = await app.client()
    client.send(app.raw())
    await app.rig.until(lambda: app.notifier.futures)
    client.reset()
    await app.rig.until(lambda: app.service._http.connections == 0)
    assert not app.notifier.futures[0].cancelled()
    app.notifier.futures[0].set_result(Accepted(duplicate=False))
    await asyncio.sleep(0)
    assert (await app.metrics())["roombell_ingest_waiting"] == 0


async def test_an_event_that_fails_after_its_sender_has_gone_makes_no_noise(app, caplog):
    app.notifier.answer_at_once = False
    client = await app.client()
    client.send(app.raw())
    await app.rig.until(lambda: app.notifier.futures)
    client.reset()
    await app.rig.until(lambda: app.service._http.connections == 0)
    app.notifier.futures.pop().set_exception(StoreUnavailable("No answer."))
    await asyncio.sleep(0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_body_is_not_asked_for_where_there_is_no_signature(app):
    head = b"POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\nExpect: 100-continue\r\n"
    client = await app.client()
    answer = await client.ask(head + b"\r\n")
    assert (answer.status, answer.json["error"]) == (401, "no_authorization")
    assert await client.rest() == b""
    assert (await (await app.client()).ask(head + b"Authorization: x\r\n\r\n")).status == 100


async def test_refusals_are_logged_once_a_second_for_each_reason(app, caplog):
    for _ in range(5):
        await app.post(authorization=None)
    assert len(caplog.records) == 1
    assert "Refused a webhook from 127.0.0.1:" in caplog.text
    app.rig.clock.s += 2
    await app.post(authorization=None)
    assert len(caplog.records) == 2


async def test_keys_can_be_replaced_while_it_runs(app):
    app.service.use_keys(KeyRing({"new": "secret3"}))
    assert (await app.post()).json["error"] == "unknown_key"


# Health ----------------------------------------------------------------------------------------------------------


async def test_alive_says_so(app):
    answer = await app.get("/healthz")
    assert (answer.status, answer.json) == (200, {"status": "alive"})


async def test_ready_asks_the_store_when_it_has_not_written_lately(app):
    answer = await app.get("/readyz")
    assert (answer.status, answer.json["ready"]) == (200, True)
    assert set(answer.json["checks"]) == {"service", "notifier", "store"}
    assert answer.json["checks"]["store"] == {"ok": True, "message": "The store answers."}
    app.service.observe(Committed(1, 0, 0.5))
    app.rig.clock.s += 3
    assert (await app.get("/readyz")).json["checks"]["store"]["message"] == "The last commit succeeded 3.0 s ago."
    assert app.notifier.asked == 1


async def test_not_ready_while_the_notifier_does_not_run(app):
    app.notifier.running = False
    answer = await app.get("/readyz")
    assert (answer.status, answer.json["checks"]["notifier"]["ok"]) == (503, False)


async def test_not_ready_after_a_failed_commit_until_it_is_old_or_mended(app):
    failed = CommitFailed("store_full", "The disk is full.")
    app.service.observe(failed)
    answer = await app.get("/readyz")
    assert answer.status == 503
    assert answer.json["checks"]["store"]["message"].endswith("The disk is full.")
    app.service.observe(Committed(1, 0, 0.5))
    assert (await app.get("/readyz")).status == 200
    app.service.observe(failed)
    app.rig.clock.s += 11
    assert (await app.get("/readyz")).status == 200
    app.notifier.store_error = StoreUnavailable("It does not answer.")
    assert (await app.get("/readyz")).status == 503


async def test_not_ready_while_stopping(app):
    client = await app.client()
    app.notifier.answer_at_once = False
    client.send(app.raw() + b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
    await app.rig.until(lambda: app.notifier.futures)
    health = app.service._health
    assert health._service().ok
    stopping = asyncio.ensure_future(app.service.stop())
    await asyncio.sleep(0)
    assert not health._service().ok
    await stopping


# Metrics ---------------------------------------------------------------------------------------------------------


def status(name: str, **more) -> EndpointStatus:
    values = {"pending": 0, "dead": 0, "oldest_pending_at_ms": None, **more}
    return EndpointStatus(EndpointId(1), name, EndpointState.ACTIVE, "", 0, **values)


def attempt(decision: str, *, http=200, outcome="answered", latency_ms=30, body=EVENT) -> AttemptFinished:
    delivery = Delivery(LaneId(1), Sequence(4), "EV_1", "participant_joined", 1_000, 0, body)
    record = AttemptRecord(1, 2_000, 12, outcome, http, "connection refused")
    return AttemptFinished("main", delivery, record, decision, "", 0, latency_ms, "demo")


async def test_what_the_engine_tells_is_counted(app):
    observe = app.service.observe
    observe(EventAccepted("EV_1", "room_started", 1, False, 0))
    observe(EventAccepted("EV_1", "room_started", 0, True, 0))
    observe(EventRefused("overloaded"))
    observe(attempt("delivered", latency_ms=30))
    observe(attempt("retry", http=503))
    observe(attempt("retry", http=0, outcome="refused"))
    observe(DeliveryDead("main", "EV_2", "room_started", "attempts exhausted", 8))
    observe(DeliveryDead("main", "EV_3", "room_started", "expired", 2))
    observe(LeaseLost(LaneId(1)))
    observe(Committed(3, 2, 1.5))
    observe(CommitFailed("store_full", "The disk is full."))
    await app.post()
    metrics = await app.metrics()
    expected = {
        "roombell_events_accepted_total": 1,
        "roombell_events_duplicate_total": 1,
        'livekit_webhook_dispatch_total{reason="",status="success"}': 1,
        'livekit_webhook_dispatch_total{reason="attempts exhausted",status="failure"}': 1,
        'livekit_webhook_dispatch_total{reason="expired",status="drop"}': 1,
        'livekit_webhook_dispatch_total{reason="overloaded",status="drop"}': 1,
        'roombell_attempts_total{endpoint="main",outcome="2xx"}': 1,
        'roombell_attempts_total{endpoint="main",outcome="5xx"}': 1,
        'roombell_attempts_total{endpoint="main",outcome="refused"}': 1,
        'roombell_delivery_latency_seconds_bucket{endpoint="main",le="0.025"}': 0,
        'roombell_delivery_latency_seconds_bucket{endpoint="main",le="0.05"}': 1,
        'roombell_delivery_latency_seconds_count{endpoint="main"}': 1,
        'roombell_delivery_latency_seconds_sum{endpoint="main"}': 0.03,
        'roombell_dead_deliveries_total{endpoint="main",reason="expired"}': 1,
        "roombell_leases_lost_total": 1,
        "roombell_commit_seconds_sum": 0.0015,
        'roombell_commit_batch_size_bucket{le="4.0"}': 0,
        'roombell_commit_batch_size_bucket{le="8.0"}': 1,
        'roombell_commit_failures_total{reason="store_full"}': 1,
        'roombell_http_requests_total{status="200"}': 1,
        "roombell_log_lines_dropped_total": 3,
    }
    assert {name: metrics.get(name) for name in expected} == expected
    assert metrics["process_open_fds"] > 0


async def test_figures_per_endpoint_come_from_the_store_once_a_second(app):
    app.rig.clock.s = 2_000.0
    app.notifier.statuses = (
        status("main", pending=3, oldest_pending_at_ms=1_995_000),
        status("idle"),
    )
    metrics = await app.metrics()
    assert metrics["livekit_webhook_queue_length"] == 3
    assert metrics['roombell_pending_deliveries{endpoint="main"}'] == 3
    assert metrics['roombell_oldest_pending_seconds{endpoint="main"}'] == 5
    assert metrics['roombell_oldest_pending_seconds{endpoint="idle"}'] == 0
    await app.metrics()
    assert app.notifier.asked == 1
    app.rig.clock.s += 2
    app.notifier.store_error = StoreUnavailable("No answer.")
    metrics = await app.metrics()
    assert app.notifier.asked == 2
    assert metrics["livekit_webhook_queue_length"] == 3
    assert metrics["roombell_endpoint_status_age_seconds"] == 2


async def test_metrics_are_given_as_openmetrics_to_who_asks(app):
    answer = await app.get("/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    assert (await app.get("/metrics")).headers["content-type"].startswith("text/plain")


async def test_every_metric_of_the_table_is_exposed_and_no_other_of_ours(app):
    text = (await app.get("/metrics")).body.decode()
    exposed = {name for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) if re.match("roombell|livekit", name)}
    assert exposed == {metric.name for metric in METRICS}


def test_the_reference_page_is_the_table():
    page = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"
    assert page.read_text() == reference_page()


# Home and development --------------------------------------------------------------------------------------------


async def test_home_tells_what_this_is(app):
    answer = await app.get("/")
    assert answer.json["name"] == "roombell"
    assert answer.json["links"]["metrics"] == "/metrics"
    assert (await app.get("/dev/deliveries")).status == 404
    assert (await app.post(path="/dev/endpoint")).status == 404


async def test_the_built_in_endpoint_verifies_and_shows(dev):
    headers = b"Webhook-Sequence: 4\r\nWebhook-Attempt: 2\r\n"
    assert (await dev.post(path="/dev/endpoint", headers=headers)).status == 200
    assert (await dev.post(path="/dev/endpoint", authorization="forged")).status == 401
    newest, first = (await dev.get("/dev/deliveries")).json["deliveries"]
    assert (newest["verified"], first["verified"]) == (False, True)
    told = [first[name] for name in ("event", "room", "participant", "lane", "sequence", "attempt")]
    assert told == ["participant_joined", "demo", "ann", "demo", "4", "2"]
    assert [as_line(shown).split()[0] for shown in dev.shown] == ["received", "refused:"]
    assert "attempt 2" in as_line(dev.shown[0])


async def test_the_page_escapes_all_and_shows_no_secret(dev):
    body = EVENT.replace(b"demo", b"<script>alert(1)</script>").replace(b"ann", b'x\\" onload=\\"y')
    await dev.post(body, path="/dev/endpoint")
    answer = await dev.get("/")
    text = answer.body.decode()
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in text
    assert 'onload="' not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "hush-turn" not in text
    assert b"hush-turn" not in (await dev.get("/dev/deliveries")).body
    assert "http" not in text.replace("http-equiv", "").split("<body>")[1]


async def test_the_page_says_what_to_do_while_it_is_empty(dev):
    assert b"roombell trigger" in (await dev.get("/")).body


async def test_only_the_last_deliveries_are_kept_and_long_names_are_cut(dev):
    client = await dev.client()
    body = EVENT.replace(b"demo", b"d" * 1_000)
    for _ in range(510):
        assert (await client.ask(dev.raw(body, path="/dev/endpoint"))).status == 200
    deliveries = json.loads((await dev.get("/dev/deliveries")).body)["deliveries"]
    assert len(deliveries) == 500
    assert len(deliveries[0]["room"]) == 200


def test_the_options_are_those_of_the_configuration():
    settings = Settings(
        keys=Keys({"devkey": "secret"}),
        port=1234,
        bind_addresses=("127.0.0.1",),
        limits=LimitSettings(body_bytes_max=5, header_bytes_max=6, connections_max=7),
        stop_timeout_ms=8_000,
    )
    options = ServiceOptions.from_settings(settings)
    assert (options.port, options.hosts, options.stop_s) == (1234, ("127.0.0.1",), 8.0)
    limits = options.limits
    assert (limits.body_bytes_max, limits.head_bytes_max, limits.connections_max) == (5, 6, 7)
