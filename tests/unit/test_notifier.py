from __future__ import annotations

import asyncio
import logging
import math
import time
from datetime import timedelta
from pathlib import Path

import pytest
from livekit.protocol import models, webhook

from roombell import (
    AttemptFinished,
    EndpointSettings,
    EventAccepted,
    EventError,
    EventFilter,
    KeyRing,
    Notifier,
    Receiver,
    RetryPolicy,
    Stopped,
    StoreError,
    UsageError,
    WebhookEvent,
    event_builder,
    parse,
)
from roombell.engine.model import EndpointId, EndpointState, OnDead
from roombell.settings import Keys, Settings, StoreSettings
from roombell.testing.behaviours import hold, reply
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.payloads import sample
from roombell.transport import TlsSettings
from support.certificates import Certificates

KEYS = {"APIone": "s" * 32, "APItwo": "t" * 32}
QUICK = RetryPolicy(attempts=50, base_delay_ms=5, max_delay_ms=20)


@pytest.fixture
def store(tmp_path):
    return f"sqlite:///{tmp_path / 'roombell.db'}"


def notifier(store, *urls, **more):
    return Notifier(keys=KEYS, urls=urls, api_key="APIone", store=store, **more)


async def test_an_event_is_delivered_signed_and_byte_for_byte(store):
    body = sample("participant_joined", room="demo", id="EV_1").replace(b'","', b'",  "')
    async with ScriptedEndpoint() as app, notifier(store, app.url) as one:
        receipt = await one.notify(body)
        (request,) = await app.wait_for(1)
        assert (receipt.id, receipt.duplicate) == ("EV_1", False)
        assert request.body == body
        event = Receiver(keys=KEYS).receive(request.body, request.header("authorization"))
        assert (event.type, event.room_name) == ("participant_joined", "demo")
        assert (request.event_id, request.attempt, request.sequence) == ("EV_1", 1, 1)
        assert request.header("user-agent").startswith("LiveKit")
        assert request.header("content-type") == "application/webhook+json"


async def test_an_official_message_a_parsed_event_and_bytes_are_all_events(store):
    message = webhook.WebhookEvent(event="room_started", room=models.Room(sid="RM_1", name="demo"))
    built = event_builder().room_finished(models.Room(sid="RM_1", name="demo"))
    async with ScriptedEndpoint() as app, notifier(store, app.url) as one:
        minted = await one.notify(message)
        await one.notify(parse(sample("track_published", room="demo")))
        await one.notify(built)
        requests = await app.wait_for(3)
        assert [r.event.type for r in requests] == ["room_started", "track_published", "room_finished"]
        assert minted.id.startswith("EV_")
        assert requests[0].event.id == minted.id
        assert isinstance(built, WebhookEvent)


@pytest.mark.parametrize("bad", ["text", {"event": "room_started"}, None, 5])
async def test_what_is_no_event_is_refused_with_its_type(store, bad):
    async with notifier(store) as one:
        with pytest.raises(UsageError, match=type(bad).__name__):
            await one.notify(bad)
        with pytest.raises(EventError):
            await one.notify(b"not json")


async def test_many_events_keep_their_order_and_share_commits(store):
    bodies = [sample("participant_joined", room=f"room-{n % 3}", id=f"EV_{n}") for n in range(1500)]
    async with ScriptedEndpoint() as app, notifier(store, app.url) as one:
        receipts = await one.notify_many(bodies)
        await one.drain(timeout_s=60)
        assert [r.id for r in receipts] == [f"EV_{n}" for n in range(1500)]
        for room in range(3):
            got = [r.event_id for r in app.requests if r.event.room_name == f"room-{room}"]
            assert got == [f"EV_{n}" for n in range(room, 1500, 3)]
        assert [r.duplicate for r in await one.notify_many(bodies[:10])] == [True] * 10


async def test_what_was_undelivered_at_the_stop_is_there_for_the_next_notifier(store):
    async with ScriptedEndpoint([reply(500)] * 3) as app:
        endpoint = EndpointSettings(name="app", url=app.url, api_key="APIone", retry=RetryPolicy(base_delay_ms=60_000))
        async with Notifier(keys=KEYS, endpoints=[endpoint], store=store) as one:
            await one.notify_many([sample("room_started", room="r", id=f"EV_{n}") for n in range(3)])
            await app.wait_for(1)
        app.play([reply(200)] * 10)
        again = EndpointSettings(name="app", url=app.url, api_key="APIone", retry=QUICK)
        async with Notifier(keys=KEYS, endpoints=[again], store=store) as two:
            assert (await two.endpoints())[0].pending == 3


async def test_drain_gives_up_in_time_and_deliveries_go_on(store):
    gate = asyncio.Event()
    async with ScriptedEndpoint(lambda _turn: hold(gate, reply(200))) as app, notifier(store, app.url) as one:
        await one.notify(sample("room_started"))
        with pytest.raises(TimeoutError):
            await one.drain(timeout_s=0.05)
        gate.set()
        await one.drain(timeout_s=30)


async def test_hooks_hear_what_happens_and_one_that_fails_harms_nothing(store, caplog):
    heard = []

    def broken(record):
        raise RuntimeError("a hook's own fault")

    async with ScriptedEndpoint() as app, notifier(store, app.url, hooks=[broken, heard.append]) as one:
        with caplog.at_level(logging.ERROR):
            await one.notify(sample("room_started", id="EV_1"))
            await one.drain(timeout_s=30)
    assert [r.event_id for r in heard if isinstance(r, EventAccepted)] == ["EV_1"]
    (finished,) = [r for r in heard if isinstance(r, AttemptFinished)]
    assert (finished.decision, finished.attempt.status, finished.delivery.event_id) == ("delivered", 200, "EV_1")
    assert caplog.text.count("A hook failed") == 1


async def test_two_notifiers_work_in_one_process_on_stores_of_their_own(tmp_path):
    async with (
        ScriptedEndpoint() as a,
        ScriptedEndpoint() as b,
        notifier(f"sqlite:///{tmp_path / 'a.db'}", a.url) as one,
        notifier(f"sqlite:///{tmp_path / 'b.db'}", b.url) as two,
    ):
        await asyncio.gather(
            one.notify(sample("room_started", id="EV_a")), two.notify(sample("room_started", id="EV_b"))
        )
        assert [r.event_id for r in await a.wait_for(1)] == ["EV_a"]
        assert [r.event_id for r in await b.wait_for(1)] == ["EV_b"]


async def test_a_store_that_is_open_elsewhere_is_refused(store):
    async with notifier(store):
        second = notifier(store)
        with pytest.raises(StoreError, match=r"roombell\.db"):
            await second.start()


@pytest.mark.parametrize("steps", [1, 20, 200])
async def test_a_stop_that_is_cancelled_leaves_nothing_running(store, steps):
    release = asyncio.Event()
    async with ScriptedEndpoint(hold(release)) as endpoint:
        one = notifier(store, endpoint.url)
        await one.start()
        await one.notify(sample("room_started"))
        await endpoint.wait_for(1)
        stopping = asyncio.create_task(one.stop(grace_s=60))
        for _ in range(steps):
            await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert [task for task in asyncio.all_tasks() if task.get_name().startswith("roombell ")] == []
        release.set()
        async with notifier(store, endpoint.url):
            await endpoint.wait_for(2)


async def test_a_notifier_that_does_not_run_says_so(store):
    one = notifier(store)
    with pytest.raises(Stopped):
        await one.notify(sample("room_started"))
    await one.stop()
    async with one:
        with pytest.raises(UsageError, match="running already"):
            await one.start()
    await one.stop()
    with pytest.raises(Stopped):
        await one.drain()
    async with one:
        assert one.running


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"keys": {}}, "key"),
        ({"keys": {"APIone": ""}}, "APIone"),
        ({"urls": "https://one.example.com"}, "list"),
        ({"urls": ["ftp://one.example.com"]}, "http"),
        ({"urls": ["https://one.example.com"], "api_key": "APInone"}, "APInone"),
        ({"urls": ["https://one.example.com"], "api_key": ""}, "api_key"),
        ({"store": "mysql://x"}, "sqlite"),
        ({"store": "postgresql://x/y?listen=z"}, "HOST:PORT"),
        ({"retention": timedelta(0)}, "retention"),
        ({"endpoints": [EndpointSettings(name="a", url="http://a/", api_key="APIone")] * 2}, "Two endpoints"),
        (
            {"endpoints": [EndpointSettings(name="a", url="http://a/", api_key="APIone", headers=(("X", "a\nb"),))]},
            "'a'",
        ),
    ],
)
def test_wrong_arguments_are_refused_at_once_with_the_mend(arguments, words):
    with pytest.raises(UsageError, match=words):
        Notifier(**({"keys": KEYS, "api_key": "APIone"} | arguments))


def test_no_representation_shows_a_secret():
    one = notifier("memory:", "https://app.example.com/hook?token=hush")
    for shown in (repr(one), repr(one.settings), str(one.settings.endpoints)):
        assert "s" * 32 not in shown
        assert "hush" not in shown


def settings_for(store, *endpoints, keys=KEYS):
    return Settings(keys=Keys(keys), endpoints=endpoints, store=StoreSettings.of_url(store))


async def test_endpoints_and_keys_are_exchanged_while_running(store):
    async with ScriptedEndpoint() as a, ScriptedEndpoint() as b:
        first = EndpointSettings(name="a", url=a.url, api_key="APIone")
        second = EndpointSettings(name="b", url=b.url, api_key="APInew", filter=EventFilter(include=("room_*",)))
        one = Notifier.from_settings(settings_for(store, first))
        async with one:
            await one.notify(sample("room_started", id="EV_1"))
            await a.wait_for(1)
            await one.reconfigure(settings_for(store, second, keys={"APInew": "n" * 32}))
            await one.notify(sample("room_finished", id="EV_2"))
            await one.notify(sample("track_published", id="EV_3"))
            (request,) = await b.wait_for(1)
            await one.drain(timeout_s=30)
            KeyRing({"APInew": "n" * 32}).verify(request.header("authorization"), request.body, now=time.time())
            assert [r.event_id for r in a.requests] == ["EV_1"]
            assert [r.event_id for r in b.requests] == ["EV_2"]


async def test_a_wrong_new_configuration_changes_nothing(store):
    async with ScriptedEndpoint() as app:
        good = settings_for(store, EndpointSettings(name="a", url=app.url, api_key="APIone"))
        async with Notifier.from_settings(good) as one:
            bad = settings_for(store, EndpointSettings(name="a", url=app.url, api_key="APInone"))
            with pytest.raises(UsageError, match="APInone"):
                await one.reconfigure(bad)
            assert one.settings == good
            await one.notify(sample("room_started", id="EV_1"))
            await app.wait_for(1)


async def test_an_endpoint_that_is_gone_is_disabled_until_it_is_configured_again(store):
    async with ScriptedEndpoint([reply(410)]) as app:
        settings = settings_for(store, EndpointSettings(name="a", url=app.url, api_key="APIone", retry=QUICK))
        disabled = asyncio.Event()
        async with Notifier.from_settings(
            settings, hooks=[lambda r: disabled.set() if "Disabled" in type(r).__name__ else None]
        ) as one:
            await one.notify_many([sample("room_started", room="r", id=f"EV_{n}") for n in range(3)])
            await asyncio.wait_for(disabled.wait(), 30)
            while (status := (await one.endpoints())[0]).state is not EndpointState.DISABLED:
                await asyncio.sleep(0)
            assert status.pending == 3
            app.play([reply(200)] * 3)
            await one.reconfigure(settings)
            await one.drain(timeout_s=30)
            assert [r.event_id for r in app.requests] == ["EV_0", "EV_0", "EV_1", "EV_2"]


ENDPOINT = {"name": "app", "url": "http://127.0.0.1:9/", "api_key": "APIone"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"rate_limit_per_s": 0}, "rate_limit_per_s is 0"),
        ({"rate_limit_per_s": -1.0}, "rate_limit_per_s is -1"),
        ({"rate_limit_per_s": math.nan}, "rate_limit_per_s is nan"),
        ({"rate_limit_per_s": "50/s"}, "got `str` - at `$.rate_limit_per_s`"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"timeout_ms": "15s"}, "got `str` - at `$.timeout_ms`"),
        ({"retry": RetryPolicy(attempts=0)}, "retry.attempts is 0"),
        ({"retry": RetryPolicy(max_age_ms=1 << 70)}, "retry.max_age_ms is"),
        ({"headers": {"X-A": "hunter2"}}, "got `object` - at `$.headers`"),
        ({"secrets": "hunter2"}, "got `str` - at `$.secrets`"),
        ({"on_dead": "stop"}, "Invalid enum value 'stop' - at `$.on_dead`"),
        ({"filter": None}, "got `null` - at `$.filter`"),
        ({"name": "@operations"}, "the name may have"),
        ({"name": "two\nlines"}, "the name may have"),
        ({"name": None}, "got `null` - at `$.name`"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused_with_its_field(wrong, told):
    with pytest.raises(UsageError) as caught:
        Notifier(keys=KEYS, endpoints=[EndpointSettings(**{**ENDPOINT, **wrong})])
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_is_no_endpoint_is_refused_by_its_type():
    with pytest.raises(UsageError, match="EndpointSettings, not dict"):
        Notifier(keys=KEYS, endpoints=[ENDPOINT])


def test_a_word_that_stands_for_a_choice_is_that_choice():
    one = Notifier(keys=KEYS, endpoints=[EndpointSettings(**ENDPOINT, on_dead="block")])
    assert one.settings.endpoints[0].on_dead is OnDead.BLOCK


async def test_a_certificate_that_goes_away_during_a_reload_changes_nothing_by_halves(store, tmp_path):
    ca = Path(Certificates(tmp_path).ca)
    secure = {**ENDPOINT, "url": "https://127.0.0.1:9/", "tls": TlsSettings(ca=str(ca))}
    settings = Settings(keys=Keys(KEYS), endpoints=(EndpointSettings(**secure),), store=StoreSettings.of_url(store))
    async with notifier(store) as one:
        register = one._store.register

        async def registered(*names, **more):
            ca.unlink()
            return await register(*names, **more)

        one._store.register = registered
        await one.reconfigure(settings)
        assert [status.state for status in await one.endpoints()] == [EndpointState.ACTIVE]
        assert one._transport._targets.keys() == {EndpointId(1)}
