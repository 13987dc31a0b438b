"""``/api/v1`` over real sockets, on a store in memory."""

from __future__ import annotations

import json

import pytest

from roombell.engine.model import DeliveryState, EndpointState
from roombell.engine.operator import Operator
from roombell.errors import Stopped, StoreUnavailable
from roombell.service.api import PREFIX
from roombell.service.app import Service, ServiceOptions
from roombell.signing import KeyRing
from roombell.stores.memory import MemoryStore
from roombell.testing.store_driver import NOW_MS, StoreDriver, event, settle

SECRETS = {"devkey": "secret", "other": "secret2"}
KEYS = KeyRing(SECRETS)


class Notifier:
    """Just enough of one."""

    def __init__(self, operator):
        self.running, self._operator, self.error = True, operator, None

    @property
    def operator(self):
        if self.error is not None:
            raise self.error
        return self._operator

    async def endpoints(self):
        return await self._operator.endpoints()


class Api:
    def __init__(self, rig, clock, service, notifier, store):
        self.rig, self.clock, self.service, self.notifier, self.it = rig, clock, service, notifier, StoreDriver(store)

    async def ask(self, method, path, body=None, *, token=...):
        if token is ...:
            token = KEYS.sign_admin(api_key="other", now=self.clock.s)
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        authorization = "" if token is None else f"Authorization: Bearer {token}\r\n"
        head = f"{method} {PREFIX}/{path} HTTP/1.1\r\nHost: a\r\n{authorization}Content-Length: {len(content)}\r\n\r\n"
        client = await self.rig.connect(self.service.port)
        answer = await client.ask(head.encode() + content)
        await client.close()
        return answer


@pytest.fixture
async def api(rig, clock):
    store = MemoryStore()
    await store.open()
    notifier = Notifier(Operator(store, clock))
    service = Service(ServiceOptions(port=0, hosts=("127.0.0.1",), stop_s=0.1), notifier, KEYS, clock)
    await service.start()
    yield Api(rig, clock, service, notifier, store)
    await service.stop()
    await store.close()


@pytest.fixture
async def dead(api):
    """Three events, the first of which is dead."""
    one = await api.it.endpoint("app")
    lane = await api.it.lease_one(event("EV_1", one))
    await api.it.accept(event("EV_2", one), event("EV_3", one, key="other"))
    await api.it.settle(settle(lane, 1, DeliveryState.DEAD, reason="rejected", block=True))
    api.clock.s = NOW_MS / 1000 + 10
    return one


REQUESTS = [
    ("GET", "endpoints"), ("GET", "deliveries"), ("GET", "attempts?event_id=EV_1"), ("POST", "redrive"),
    ("POST", "replay"), ("POST", "cancel"), ("POST", "unblock"), ("POST", "pause"), ("POST", "resume"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), REQUESTS)
async def test_nothing_is_told_or_done_without_the_right_to(api, dead, method, path):
    before = await api.it.find()
    webhook = KEYS.sign(b"", api_key="devkey", now=api.clock.s)
    stranger = KeyRing({"devkey": "another secret"}).sign_admin(api_key="devkey", now=api.clock.s)
    old = KEYS.sign_admin(api_key="devkey", now=api.clock.s - 3600)
    for token, status, code in (
        (None, 401, "no_authorization"),
        ("x", 401, "malformed_token"),
        (webhook, 403, "not_allowed"),
        (stranger, 401, "bad_signature"),
        (old, 401, "token_expired"),
    ):
        answer = await api.ask(method, path, token=token)
        assert (answer.status, answer.json["error"]) == (status, code)
    assert await api.it.find() == before


async def test_endpoints_are_told_without_what_is_the_engine_s_own(api, dead):
    answer = await api.ask("GET", "endpoints")
    (told,) = answer.json["endpoints"]
    assert (answer.status, told["name"], told["state"], told["pending"], told["dead"], told["blocked"]) == (
        200, "app", "active", 2, 1, 1,
    )  # fmt: skip
    assert "health" not in told


async def test_deliveries_are_found_page_by_page(api, dead):
    first = (await api.ask("GET", "deliveries?limit=2")).json
    assert [one["event_id"] for one in first["deliveries"]] == ["EV_1", "EV_2"]
    rest = (await api.ask("GET", f"deliveries?after={first['next']}")).json
    assert ([one["event_id"] for one in rest["deliveries"]], rest["next"]) == (["EV_3"], "")
    for query, expected in (
        ("state=dead", ["EV_1"]),
        ("state=dead&state=pending&endpoint=app", ["EV_1", "EV_2", "EV_3"]),
        ("lane=other", ["EV_3"]),
        ("room=room-1&event_id=EV_2", ["EV_2"]),
        (f"since_ms={NOW_MS + 1}", []),
        (f"until_ms={NOW_MS}", []),
        ("lane=r%C3%A4um", []),
    ):
        found = (await api.ask("GET", f"deliveries?{query}")).json["deliveries"]
        assert [one["event_id"] for one in found] == expected, query


async def test_attempts_are_told(api, dead):
    (one,) = (await api.ask("GET", "attempts?event_id=EV_1")).json["deliveries"]
    assert one["delivery"]["blocks"] is True
    assert [made["status"] for made in one["attempts"]] == [200]


async def test_a_walk_goes_step_by_step_and_can_be_tried_first(api, dead):
    order = {"selection": {"endpoint": "app"}, "limit": 1}
    dry = (await api.ask("POST", "cancel", {**order, "dry_run": True})).json
    assert dry["done"] == 1
    assert (await api.it.states())[1][1] is DeliveryState.PENDING
    first = (await api.ask("POST", "cancel", order)).json
    second = (await api.ask("POST", "cancel", {**order, "after": first["next"]})).json
    third = (await api.ask("POST", "cancel", {**order, "after": second["next"]})).json
    assert [step["done"] for step in (first, second, third)] == [1, 1, 0]
    assert third["next"] == ""
    found = await api.it.find()
    assert {one.reason for one in found if one.state is DeliveryState.CANCELLED} == {"cancelled by API key other"}


async def test_redrive_and_unblock_let_a_lane_go_on(api, dead):
    assert (await api.ask("POST", "unblock", {"dry_run": True})).json["done"] == 1
    assert (await api.ask("POST", "redrive", {"selection": {"states": ["dead"]}})).json["done"] == 1
    assert (await api.ask("POST", "unblock", {})).json["done"] == 0


async def test_an_endpoint_is_paused_and_resumed(api, dead):
    assert (await api.ask("POST", "pause", {"endpoint": "app"})).status == 200
    status = await api.it.status(dead)
    assert (status.state, status.reason) == (EndpointState.PAUSED, "paused by API key other")
    assert (await api.ask("POST", "resume", {"endpoint": "app"})).status == 200
    assert (await api.it.status(dead)).state is EndpointState.ACTIVE


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("GET", "deliveries?limit=many", None, "limit must be a whole number"),
        ("GET", f"deliveries?limit={'9' * 5000}", None, "limit must be a whole number"),
        ("GET", f"deliveries?since_ms={'9' * 20}", None, "since_ms is no time"),
        ("GET", f"deliveries?until_ms=-{'9' * 20}", None, "until_ms is no time"),
        ("POST", "redrive", {"selection": {"since_ms": 1 << 62}}, "since_ms is no time"),
        ("GET", "deliveries?limit=100000", None, "limit"),
        ("GET", "deliveries?sate=dead", None, "sate"),
        ("GET", "deliveries?state=gone", None, "gone"),
        ("GET", "deliveries?endpoint=nobody", None, "there are: app"),
        ("GET", "deliveries?after=1.2", None, "no place"),
        ("GET", "deliveries?after=99999999999999999999.1.1", None, "no place"),
        ("GET", "deliveries?endpoint=%ff", None, "query"),
        ("GET", "attempts", None, "event_id"),
        ("POST", "redrive", b"no json", "body"),
        ("POST", "redrive", b"\xff", "body"),
        ("POST", "redrive", {"selection": {"endpiont": "app"}}, "endpiont"),
        ("POST", "redrive", {"selection": {"states": ["gone"]}}, "states"),
        ("POST", "redrive", {"limit": 0}, "limit"),
        ("POST", "redrive", {"limit": 501}, "limit"),
        ("POST", "unblock", {"selection": {"room": "r"}}, "endpoint and lane"),
        ("POST", "pause", {}, "endpoint"),
        ("POST", "pause", {"endpoint": "nobody"}, "nobody"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_the_mend(api, dead, method, path, body, words):
    answer = await api.ask(method, path, body)
    assert (answer.status, answer.json["error"]) == (400, "bad_request")
    assert words in answer.json["message"]


async def test_trouble_with_the_store_is_told_as_such(api, dead):
    for error in (Stopped("The service is starting."), StoreUnavailable("The store did not answer.")):
        api.notifier.error = error
        answer = await api.ask("GET", "endpoints")
        assert (answer.status, answer.json["message"]) == (503, str(error))
        assert answer.headers["retry-after"] == "1"


async def test_keys_are_exchanged_while_running(api, dead):
    api.service.use_keys(KeyRing({"new": "n" * 32}))
    assert (await api.ask("GET", "endpoints")).status == 401
    token = KeyRing({"new": "n" * 32}).sign_admin(api_key="new", now=api.clock.s)
    assert (await api.ask("GET", "endpoints", token=token)).status == 200
