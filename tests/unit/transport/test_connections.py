"""Connections: kept, bounded, replaced when stale, and gone when they should be."""

import asyncio
import collections
import contextlib
import random

import pytest

from roombell.engine.model import Answered, Failed, FailureKind
from roombell.testing import behaviours as play
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.transport import HttpLimits


async def test_a_connection_is_used_again(connect):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint)
        outcomes = [await client.send() for _ in range(5)]
    assert [outcome.reused_connection for outcome in outcomes] == [False, True, True, True, True]
    assert endpoint.connections_count == 1


async def test_a_thousand_requests_over_eight_connections(connect):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint, connections_max=8)
        outcomes = await asyncio.gather(*(client.send(event_id=f"EV_{n}", sequence=n + 1) for n in range(1000)))
        assert all(isinstance(outcome, Answered) and outcome.status == 200 for outcome in outcomes)
        assert sorted(request.sequence for request in endpoint.requests) == list(range(1, 1001))
        assert endpoint.connections_count == 8
        used = collections.Counter(request.connection for request in endpoint.requests)
    assert len(used) == 8


async def test_senders_beyond_the_bound_go_in_the_order_in_which_they_came(connect):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint, connections_max=1)
        await asyncio.gather(*(client.send(sequence=n) for n in range(1, 21)))
    assert [request.sequence for request in endpoint.requests] == list(range(1, 21))


async def test_answers_never_reach_another_sender(connect):
    def echo(request):
        return play.reply(200, request.body)

    async with ScriptedEndpoint(echo) as endpoint:
        client = connect(endpoint, connections_max=4)

        async def one(number: int) -> None:
            body = b"%d" % number
            sending = asyncio.ensure_future(client.send(body=body))
            if number % 3 == 0:
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                assert (await sending).excerpt == body

        await asyncio.gather(*(one(number) for number in range(300)))


async def test_a_kept_connection_that_was_closed_is_replaced_within_the_attempt(connect):
    async with ScriptedEndpoint(requests_per_connection_max=1) as endpoint:
        client = connect(endpoint)
        outcomes = [await client.send() for _ in range(10)]
        assert [outcome.status for outcome in outcomes] == [200] * 10
        assert len(endpoint.requests) == 10


@pytest.mark.parametrize("ending", [play.close(), play.reset()])
async def test_a_kept_connection_that_ends_before_the_answer_is_replaced_once_by_a_fresh_one(connect, ending):
    async with ScriptedEndpoint([play.reply(), ending, play.reply(201)]) as endpoint:
        client = connect(endpoint)
        await client.send()
        outcome = await client.send(attempt=4)
        assert (outcome.status, outcome.reused_connection) == (201, False)
        assert [request.connection for request in endpoint.requests] == [1, 1, 2]
        second, third = endpoint.requests[1:]
        assert second.headers == third.headers  # the same attempt: the very same request


async def test_the_fresh_connections_failure_counts(connect):
    async with ScriptedEndpoint([play.reply(), play.close(), play.close(), play.reply()]) as endpoint:
        client = connect(endpoint)
        await client.send()
        outcome = await client.send()
        assert (outcome.kind, len(endpoint.requests)) == (FailureKind.RESET, 3)


async def test_the_retry_uses_no_other_kept_connection(connect):
    released = asyncio.Event()
    async with ScriptedEndpoint(play.hold(released)) as endpoint:
        client = connect(endpoint)
        sending = asyncio.gather(*(client.send() for _ in range(3)))
        await endpoint.wait_for(3)
        released.set()
        await sending
        endpoint.play([play.close(), play.reply(202)])
        outcome = await client.send()
        assert (outcome.status, outcome.reused_connection) == (202, False)
        assert [request.connection for request in endpoint.requests[3:]][1] == 4


async def test_a_server_that_restarts_is_met_with_fresh_connections(connect):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint)
        await client.send()
        await endpoint.refuse()
        assert (await client.send()).kind is FailureKind.REFUSED
        await endpoint.listen()
        assert (await client.send()).status == 200


async def test_a_part_of_an_answer_on_a_kept_connection_is_not_retried(connect):
    async with ScriptedEndpoint([play.reply(), play.close(b"HTTP/1.1 2"), play.reply()]) as endpoint:
        client = connect(endpoint)
        await client.send()
        outcome = await client.send()
        assert (outcome.kind, outcome.reused_connection) == (FailureKind.RESET, True)
        assert len(endpoint.requests) == 2


async def test_words_on_an_idle_connection_close_it(connect, eventually):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint)
        await client.send()
        (server_side,) = endpoint._connections
        await server_side.write(play.answer_bytes(500))
        await eventually(lambda: not client.connections)
        assert (await client.send()).status == 200
        assert endpoint.connections_count == 2


async def test_idle_connections_are_closed_in_time(connect, eventually):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint, limits=HttpLimits(idle_timeout_ms=20))
        await client.send()
        await eventually(lambda: not client.connections and not endpoint.open_connections_count)
        assert not (await client.send()).reused_connection


@pytest.mark.parametrize(
    ("told", "kept_s"), [("timeout=5, max=100", 4.5), ("TIMEOUT = 5", 4.5), ("timeout=900", 30), ("x", 30)]
)
async def test_a_connection_is_not_kept_longer_than_the_endpoint_keeps_it(connect, told, kept_s):
    async with ScriptedEndpoint(play.reply(headers=[("Keep-Alive", told)])) as endpoint:
        client = connect(endpoint)
        await client.send()
        (connection,) = client.connections
        assert connection.idle_until_s(100.0) == 100 + kept_s


async def test_an_expired_connection_is_not_used_even_if_no_timer_has_fired(connect):
    async with ScriptedEndpoint() as endpoint:
        client = connect(endpoint)
        await client.send()
        (connection,) = client.connections
        connection.deadline_s = 0
        assert not (await client.send()).reused_connection


async def test_deadlines_are_kept_by_one_timer_whatever_the_order_they_come_in(connect, eventually):
    """A request that spent its time on connecting is due before one that began later on a kept connection."""
    async with ScriptedEndpoint(play.silence()) as endpoint:
        client = connect(endpoint)
        sending = [asyncio.ensure_future(client.send()) for _ in range(3)]
        await endpoint.wait_for(3)
        late, soon, latest = client.connections
        soon.deadline_s = 0
        client.pool._on_timer()
        await eventually(lambda: any(one.done() for one in sending))
        assert sum(one.done() for one in sending) == 1
        assert client.pool._timer_s == min(late.deadline_s, latest.deadline_s)
        client.let_deadlines_pass()
        await asyncio.gather(*sending)
        assert client.pool._timer is None or client.pool._timer_s > 0


# Cancellation and closing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stage", ["connecting", "waiting for a connection", "waiting for the answer", "reading the body"]
)
async def test_cancelling_a_sender_leaves_nothing_behind(connect, descriptors_count, eventually, stage):
    script = play.dripping_body() if stage == "reading the body" else play.silence()
    async with ScriptedEndpoint(script) as endpoint:
        if stage == "connecting":
            await endpoint.black_hole(backlog=0)
        before = descriptors_count()
        tasks_before = len(asyncio.all_tasks())
        client = connect(endpoint, connections_max=1, limits=HttpLimits(body_grace_ms=60_000))
        senders = [client.start() for _ in range(1 + stage.startswith("waiting for a"))]
        if stage == "connecting":
            await asyncio.sleep(0)
        else:
            await endpoint.wait_for(1)
        if stage == "reading the body":
            await eventually(lambda: client.connections[0].status == 200)
        for sender in reversed(senders):
            sender.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sender
        await eventually(lambda: not client.connections and not endpoint.open_connections_count)
        assert client.pool.is_quiet
        await eventually(lambda: descriptors_count() <= before and len(asyncio.all_tasks()) <= tasks_before)


async def test_a_cancelled_waiter_passes_its_turn_on(connect):
    released = asyncio.Event()
    async with ScriptedEndpoint(play.hold(released)) as endpoint:
        client = connect(endpoint, connections_max=1)
        first, second, third = (client.start() for _ in range(3))
        await endpoint.wait_for(1)
        released.set()
        while not first.done():
            await asyncio.sleep(0)
        second.cancel()  # its turn has been given to it, and it has not run since
        assert (await asyncio.wait_for(third, 10)).status == 200
        with pytest.raises(asyncio.CancelledError):
            await second
        assert client.pool.is_quiet is False
        assert client.pool._free_slots == 1


async def test_closing_fails_what_is_under_way_and_leaves_no_socket(connect, descriptors_count, eventually):
    async with ScriptedEndpoint(play.silence()) as endpoint:
        before = descriptors_count()
        client = connect(endpoint, connections_max=2)
        senders = [client.start() for _ in range(4)]
        await endpoint.wait_for(2)
        await client.transport.close()
        outcomes = await asyncio.gather(*senders)
        assert [outcome.kind for outcome in outcomes] == [FailureKind.RESET] * 4
        assert all("Roombell closed the connection" in outcome.detail for outcome in outcomes)
        assert (await client.send()).kind is FailureKind.RESET
        await client.transport.close()
        await eventually(lambda: not endpoint.open_connections_count and descriptors_count() <= before)


async def test_closing_ends_a_connect_that_hangs(connect):
    async with ScriptedEndpoint() as endpoint:
        await endpoint.black_hole(backlog=0)
        client = connect(endpoint)
        senders = [client.start() for _ in range(12)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await client.transport.close()
        outcomes = await asyncio.gather(*senders)
    assert all(isinstance(outcome, Failed) and outcome.kind is FailureKind.RESET for outcome in outcomes)


async def test_a_retired_endpoints_request_ends_as_it_began_and_its_connection_goes(connect, eventually):
    released = asyncio.Event()
    async with ScriptedEndpoint(play.hold(released)) as endpoint, ScriptedEndpoint(play.reply(202)) as other:
        client = connect(endpoint)
        sending = client.start()
        await endpoint.wait_for(1)
        client.configure(url=other.url)
        assert (await client.send()).status == 202
        released.set()
        assert (await sending).status == 200
        await eventually(lambda: not endpoint.open_connections_count)
        client.configure(url=other.url)
        assert client.transport._retired == []


async def test_one_endpoints_trouble_does_not_delay_another(connect):
    async with ScriptedEndpoint(play.silence()) as stuck, ScriptedEndpoint() as healthy:
        trouble, fine = connect(stuck, connections_max=4), connect(healthy)
        senders = [trouble.start() for _ in range(20)]
        await stuck.wait_for(4)
        assert [(await fine.send()).status for _ in range(20)] == [200] * 20
        assert not any(sender.done() for sender in senders)
        await trouble.transport.close()
        await asyncio.gather(*senders)


@pytest.mark.parametrize("seed", range(5))
async def test_no_mixture_of_misbehaviour_and_cancellation_loses_a_slot_or_a_socket(connect, eventually, seed):
    draw = random.Random(seed)
    mischief = [
        *[play.reply()] * 6,
        play.close(),
        play.reset(),
        play.surplus(),
        play.garbage(),
        play.truncated_body(),
        play.invalid_chunking(),
        play.giant_header(),
        play.http_1_0(),
        play.interim(),
        play.endless_body(),
        play.silence(),
    ]
    async with ScriptedEndpoint(lambda _: draw.choice(mischief), requests_per_connection_max=5) as endpoint:
        client = connect(endpoint, connections_max=8, timeout_ms=100)

        async def one() -> None:
            sending = client.start()
            if draw.random() < 0.3:
                for _ in range(draw.randrange(30)):
                    await asyncio.sleep(0)
                sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                assert isinstance(await sending, Answered | Failed)
            assert len(client.connections) <= 8 + 8, "beside those in use, only such as are being closed"

        await asyncio.gather(*(one() for _ in range(200)))
        assert client.pool._free_slots == 8
        assert not client.pool._queue
        assert len(client.pool._idle) <= 8
        await client.transport.close()
        assert not client.connections
        await eventually(lambda: not endpoint.open_connections_count)
