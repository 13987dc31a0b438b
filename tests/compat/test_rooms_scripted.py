"""Scripted participants and the official Python client in one room: each sees, hears of and calls the other."""

from __future__ import annotations

import asyncio

import pytest
from livekit import rtc

from support.livekit_client import joined
from support.running_rooms import Running, running_rooms

server = running_rooms


@pytest.mark.parametrize("single", [True, False], ids=["v1", "v0"])
async def test_data_goes_both_ways(server: Running, single: bool) -> None:
    async with joined(server, "alice", single=single) as alice, server.rooms.hub.scripted("bot", room="lab") as bot:
        await alice.until_told("participant_connected")
        bot.send(b"to all")
        bot.send(b"to alice", to=["alice"])
        await alice.until(lambda: len(alice.data) == 2, "two messages")
        assert alice.data == [("bot", b"to all"), ("bot", b"to alice")]
        await alice.room.local_participant.publish_data(b"to bot", destination_identities=["bot"])
        async with asyncio.timeout(30):
            while not bot.data:
                await asyncio.to_thread(len, "")
        assert (bot.data[0].user.payload, bot.data[0].participant_identity) == (b"to bot", "alice")


async def test_a_client_calls_a_scripted_participant(server: Running) -> None:
    async with joined(server, "alice") as alice, server.rooms.hub.scripted("bot", room="lab") as bot:
        bot.answer("greet", with_=lambda payload: payload.upper())
        await alice.until_told("participant_connected")
        call = alice.room.local_participant.perform_rpc
        assert await call(destination_identity="bot", method="greet", payload="hello") == "HELLO"
        with pytest.raises(rtc.RpcError) as error:
            await call(destination_identity="bot", method="other", payload="")
        assert error.value.code == rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD
