"""The parts of an attempt's time: each has its own bound, and a timeout names the one that ran out."""

import asyncio

import pytest

from roombell.engine.model import FailureKind
from roombell.errors import UsageError
from roombell.testing import behaviours as play
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.transport import HttpTarget

SHORT_MS = 40


async def test_waiting_for_an_answer_has_its_own_bound(connect):
    async with ScriptedEndpoint(play.silence()) as endpoint:
        outcome = await connect(endpoint, wait_timeout_ms=SHORT_MS).send()
    assert outcome.kind is FailureKind.TIMEOUT_WAIT
    assert outcome.detail.endswith(f"took the request and did not answer within {SHORT_MS} ms.")


async def test_connecting_has_its_own_bound(connect, monkeypatch):
    async def dial(self, address, factory):
        await asyncio.Event().wait()

    monkeypatch.setattr("roombell.transport.connect.Dialer._dial", dial)
    outcome = await connect("http://127.0.0.1:9/", connect_timeout_ms=SHORT_MS).send()
    assert outcome.kind is FailureKind.TIMEOUT_CONNECT
    assert f"within {SHORT_MS} ms: still connecting to 127.0.0.1:9" in outcome.detail


async def test_the_whole_bounds_the_parts(connect):
    async with ScriptedEndpoint(play.silence()) as endpoint:
        outcome = await connect(endpoint, timeout_ms=SHORT_MS, wait_timeout_ms=5_000, connect_timeout_ms=5_000).send()
    assert f"within {SHORT_MS} ms" in outcome.detail


async def test_a_bound_on_connecting_leaves_time_to_answer(connect, eventually):
    released = asyncio.Event()
    async with ScriptedEndpoint(play.hold(released)) as endpoint:
        client = connect(endpoint, connect_timeout_ms=20_000)
        sending = client.start()
        await endpoint.wait_for(1)
        assert client.pool._opening == set()  # nothing bounds the wait but the whole
        released.set()
        assert (await sending).status == 200


@pytest.mark.parametrize("field", ["connect_timeout_ms", "wait_timeout_ms"])
def test_a_part_of_no_time_is_refused(field):
    with pytest.raises(UsageError, match=f"{field} is 0"):
        HttpTarget("backend", "http://127.0.0.1/", "devkey", **{field: 0}).check()
