"""What a request looks like on the wire."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roombell._version import __version__
from roombell.engine.model import Answered, EndpointId, Failed, FailureKind
from roombell.errors import UsageError
from roombell.signing import KeyRing
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.transport import EndpointUrlError

PER_EXAMPLE = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def test_a_request_has_livekits_form_and_our_headers(connect):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint.url + "?tenant=1", headers=(("X-Team", "media"),))
        outcome = await client.send(
            body=b'{"id":"EV_9"}', event_id="EV_9", attempt=3, sequence=17, lane_name="0badcafe-8"
        )
        (request,) = endpoint.requests
    assert isinstance(outcome, Answered)
    assert (outcome.status, outcome.reused_connection) == (200, False)
    assert (request.method, request.target, request.body) == ("POST", "/webhook?tenant=1", b'{"id":"EV_9"}')
    headers = dict(request.headers)
    token = headers.pop("Authorization")
    assert headers == {
        "Host": f"127.0.0.1:{endpoint.port}",
        "User-Agent": f"LiveKit (Roombell/{__version__})",
        "Content-Type": "application/webhook+json",
        "X-Team": "media",
        "Webhook-Id": "EV_9",
        "Webhook-Attempt": "3",
        "Webhook-Sequence": "17",
        "Webhook-Lane": "0badcafe-8",
        "Content-Length": "13",
    }
    assert KeyRing({"devkey": "secret"}).verify(token, request.body, now=time.time()).api_key == "devkey"
    assert not token.lower().startswith("bearer")


async def test_each_attempt_is_signed_at_its_own_time(connect):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint)
        clock = client.transport._clock
        for now_s in (1_700_000_000, 1_700_000_400):
            clock.now_ms = lambda now_s=now_s: now_s * 1000
            await client.send()
        ring = KeyRing({"devkey": "secret"})
        signed_at = [
            ring.verify(request.header("Authorization"), request.body, now=now_s).valid_from_s
            for request, now_s in zip(endpoint.requests, (1_700_000_000, 1_700_000_400), strict=True)
        ]
    assert signed_at == [1_700_000_000, 1_700_000_400]


@PER_EXAMPLE
@given(body=st.binary(max_size=300_000))
async def test_the_body_arrives_byte_for_byte(connect, body):
    async with ScriptedEndpoint() as endpoint:
        outcome = await connect(endpoint).send(body=body)
        assert isinstance(outcome, Answered)
        assert endpoint.requests[0].body == body


@PER_EXAMPLE
@given(event_id=st.text(), lane_name=st.text())
async def test_no_event_id_or_lane_name_adds_a_header_or_a_request(connect, event_id, lane_name):
    async with ScriptedEndpoint() as endpoint:
        outcome = await connect(endpoint).send(event_id=event_id, lane_name=lane_name)
        assert isinstance(outcome, Answered)
        (request,) = endpoint.requests
    assert len(request.headers) == 9
    assert request.event_id == event_id.encode(errors="replace").decode()
    assert request.lane == lane_name.encode(errors="replace").decode()


async def test_an_ipv6_endpoint_and_a_name_are_reached(connect):
    async with ScriptedEndpoint(host="::1") as endpoint:
        assert (await connect(f"http://[::1]:{endpoint.port}/").send()).status == 200
        assert endpoint.requests[0].header("Host") == f"[::1]:{endpoint.port}"
    async with ScriptedEndpoint() as endpoint:
        assert (await connect(f"http://localhost:{endpoint.port}/").send()).status == 200


async def test_an_unknown_endpoint_is_a_failure_of_configuration(connect, request_of):
    client = connect("http://127.0.0.1:1/")
    outcome = await client.transport.send(request_of(endpoint_id=7))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.CONFIGURATION
    assert "number 7" in outcome.detail


async def test_a_fault_of_our_own_is_an_outcome_and_a_log_line_without_secrets(connect, caplog):
    client = connect("http://127.0.0.1:1/")
    client.transport._clock.now_ms = None
    outcome = await client.send()
    assert outcome.kind is FailureKind.CONFIGURATION
    assert "TypeError" in outcome.detail
    assert "An attempt failed by a fault in the transport" in caplog.text


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"url": "http://user@example.com/"}, EndpointUrlError, "user name"),
        ({"headers": (("Authorization", "x"),)}, UsageError, "overwritten"),
        ({"timeout_ms": 0}, UsageError, "timeout_ms is 0"),
        ({"connections_max": 0}, UsageError, "connections_max is 0"),
        ({"api_key": "APIother"}, UsageError, "'APIother' is not among the keys"),
    ],
)
async def test_a_target_that_cannot_be_sent_to_is_refused_and_nothing_changes(connect, changes, error, told):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint)
        with pytest.raises(error, match="Endpoint 'backend': .*" + told):
            client.configure(**changes)
        assert (await client.send()).status == 200


def test_a_target_shows_no_secret(connect):
    target = connect("https://example.com/?token=SECRET", headers=(("X-Key", "SECRET"),)).target()
    assert "SECRET" not in repr(target)


async def test_endpoints_are_replaced_at_run_time(connect):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint)
        await client.send()
        client.configure(headers=())
        assert (await client.send()).reused_connection  # nothing changed: the connection is kept
        client.configure(headers=(("X-Team", "media"),))
        assert not (await client.send()).reused_connection
        assert endpoint.requests[-1].header("X-Team") == "media"
        client.transport.configure({}, KeyRing({"other": "secret"}))
        assert (await client.send()).kind is FailureKind.CONFIGURATION
        client.transport.configure({EndpointId(1): client.target(api_key="other")}, KeyRing({"other": "secret"}))
        assert (await client.send()).status == 200
