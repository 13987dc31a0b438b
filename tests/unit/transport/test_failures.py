"""Every way in which no answer comes, and what is said about it."""

import asyncio
import errno
import os
import socket
import threading

import pytest

from roombell.engine.model import Answered, Failed, FailureKind
from roombell.testing import behaviours as play
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.transport import HttpLimits
from roombell.transport.failures import connect_trouble, lost_trouble

SHORT_MS = 50
LARGE = bytes(30_000_000)
"""More than the kernel buffers for a connection."""


def failed(outcome, kind: FailureKind) -> str:
    assert isinstance(outcome, Failed), outcome
    assert outcome.kind is kind, outcome
    return outcome.detail


async def test_a_closed_port_is_refused(connect):
    async with ScriptedEndpoint() as endpoint:
        await endpoint.refuse()
        detail = failed(await connect(endpoint).send(), FailureKind.REFUSED)
    assert (
        detail
        == f"http://127.0.0.1:{endpoint.port} refused the connection: nothing listens at 127.0.0.1:{endpoint.port}."
    )


async def test_a_name_that_does_not_exist_is_a_dns_failure(connect, monkeypatch):
    fail_lookups(monkeypatch, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    detail = failed(await connect("http://no-such-host.invalid/?token=SECRET").send(), FailureKind.DNS)
    assert detail == "Cannot resolve no-such-host.invalid: there is no such name."


async def test_a_name_server_that_does_not_answer_is_a_dns_failure(connect, monkeypatch):
    fail_lookups(monkeypatch, socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"))
    detail = failed(await connect("http://example.invalid/").send(), FailureKind.DNS)
    assert "does not answer; this may pass" in detail


async def test_a_name_without_addresses_is_a_dns_failure(connect, monkeypatch):
    answer_lookups(monkeypatch)
    detail = failed(await connect("http://example.invalid/").send(), FailureKind.DNS)
    assert "has no address" in detail


@pytest.fixture
def name_servers_are_dead(monkeypatch):
    """For the names under ``dead.invalid``; the others lead here. Yields what was looked up."""
    alive = threading.Event()
    lookups = []

    def getaddrinfo(host, *_, **__):
        lookups.append(host)
        if host.endswith("dead.invalid"):
            alive.wait()
        return found("127.0.0.1")

    patch_lookups(monkeypatch, getaddrinfo)
    yield lookups
    alive.set()


async def test_a_lookup_that_hangs_is_a_timeout_while_connecting_and_is_shared(connect, name_servers_are_dead):
    client = connect("http://dead.invalid/", timeout_ms=SHORT_MS)
    outcomes = await asyncio.gather(*(client.send() for _ in range(5)))
    details = [failed(outcome, FailureKind.TIMEOUT_CONNECT) for outcome in outcomes]
    assert all("still resolving dead.invalid" in detail for detail in details)
    assert name_servers_are_dead == ["dead.invalid"]


async def test_lookups_that_hang_hold_up_no_other_endpoint(connect, name_servers_are_dead):
    clients = [connect(f"http://{number}.dead.invalid:1/") for number in range(40)]
    hanging = [asyncio.create_task(client.send()) for client in clients]
    while len(name_servers_are_dead) < len(hanging):
        await asyncio.sleep(0)
    async with ScriptedEndpoint() as endpoint:
        outcome = await connect(f"http://well.invalid:{endpoint.port}/").send()
    assert isinstance(outcome, Answered)
    assert not any(task.done() for task in hanging)


async def test_addresses_are_tried_in_order_until_one_answers(connect, monkeypatch):
    async with ScriptedEndpoint() as dead, ScriptedEndpoint() as endpoint:
        await dead.refuse()
        monkeypatch.setattr(
            "roombell.transport.connect.Dialer._dial",
            redirected_dial({"192.0.2.1": dead.port, "192.0.2.2": endpoint.port}),
        )
        answer_lookups(monkeypatch, "192.0.2.1", "192.0.2.2")
        assert (await connect("http://two.invalid/").send()).status == 200
        assert endpoint.requests[0].header("Host") == "two.invalid"


async def test_an_address_that_is_silent_does_not_take_the_time_of_the_others(connect, monkeypatch):
    async def dial(self, address, factory):
        if address.ip == "192.0.2.1":
            await asyncio.Event().wait()
        _, protocol = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", endpoint.port)
        return protocol

    monkeypatch.setattr("roombell.transport.connect.Dialer._dial", dial)
    answer_lookups(monkeypatch, "192.0.2.1", "192.0.2.2")
    async with ScriptedEndpoint() as endpoint:
        client = connect("http://two.invalid/", limits=HttpLimits(address_timeout_ms=20))
        assert (await client.send()).status == 200


async def test_no_more_addresses_are_tried_than_the_bound(connect, monkeypatch):
    tried = []

    async def dial(self, address, factory):
        tried.append(address.ip)
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    monkeypatch.setattr("roombell.transport.connect.Dialer._dial", dial)
    answer_lookups(monkeypatch, *(f"192.0.2.{n}" for n in range(1, 100)))
    detail = failed(await connect("http://many.invalid/").send(), FailureKind.REFUSED)
    assert tried == [f"192.0.2.{n}" for n in range(1, 9)]
    assert "192.0.2.8:80" in detail


async def test_a_connection_that_is_not_taken_is_a_timeout_while_connecting(connect, eventually):
    async with ScriptedEndpoint() as endpoint:
        await endpoint.black_hole(backlog=0)
        with full_backlog(endpoint.port):
            detail = failed(await connect(endpoint, timeout_ms=SHORT_MS).send(), FailureKind.TIMEOUT_CONNECT)
    assert f"within {SHORT_MS} ms: still connecting to 127.0.0.1:{endpoint.port}" in detail


async def test_a_request_that_is_not_read_is_a_timeout_while_sending(connect, eventually):
    async with ScriptedEndpoint() as endpoint:
        await endpoint.black_hole()
        client = connect(endpoint)
        outcome = await expired(client, client.send(body=LARGE), eventually, lambda connection: connection._waiter)
    assert "did not take the whole request within" in failed(outcome, FailureKind.TIMEOUT_SEND)


@pytest.mark.parametrize("black_hole", [False, True])
async def test_a_request_that_is_not_answered_is_a_timeout_while_waiting(connect, eventually, black_hole):
    async with ScriptedEndpoint(play.silence()) as endpoint:
        if black_hole:
            await endpoint.black_hole()
        client = connect(endpoint)
        outcome = await expired(
            client, client.send(), eventually, lambda one: one._waiter and not one._transport.get_write_buffer_size()
        )
    told = f"http://127.0.0.1:{endpoint.port} took the request and did not answer within 20000 ms."
    assert failed(outcome, FailureKind.TIMEOUT_WAIT) == told


@pytest.mark.parametrize(
    "behaviour",
    [play.dripping_header(), play.garbage(b"HTTP/1.1 200 OK\r\n"), play.interim(1, then=play.silence())],
)
async def test_an_answer_that_does_not_end_its_headers_is_a_timeout_while_reading(connect, eventually, behaviour):
    async with ScriptedEndpoint(behaviour) as endpoint:
        client = connect(endpoint)
        outcome = await expired(client, client.send(), eventually, lambda connection: connection._received_bytes)
    assert "did not end its headers" in failed(outcome, FailureKind.TIMEOUT_READ)


async def test_a_silent_endpoint_is_given_up_on_time(connect):
    async with ScriptedEndpoint(play.silence()) as endpoint:
        outcome = await connect(endpoint, timeout_ms=SHORT_MS).send()
        assert outcome.kind.startswith("timeout")
        assert outcome.duration_ms >= SHORT_MS - 5  # uvloop's timers have a resolution of a millisecond


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (play.close(), "closed the connection without an answer"),
        (play.close(b"HTTP/1.1 200 OK\r\nX:"), "closed the connection in the middle of its answer's headers"),
        (play.reset(), "reset the connection without an answer"),
    ],
)
async def test_a_connection_that_ends_before_the_headers_do_is_a_reset(connect, behaviour, told):
    async with ScriptedEndpoint(behaviour) as endpoint:
        detail = failed(await connect(endpoint).send(), FailureKind.RESET)
    assert told in detail
    assert len(endpoint.requests) == 1, "a fresh connection is not retried"


async def test_an_endpoint_that_speaks_first_does_not_speak_http(connect):
    async def greet(reader, writer):
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    outcome = await connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/").send()
    failed(outcome, FailureKind.PROTOCOL)
    server.close()
    await server.wait_closed()


async def test_half_a_close_ends_a_request_that_is_still_being_sent(connect):
    async def half_close(reader, writer):
        writer.transport.pause_reading()
        writer.write_eof()
        await gone.wait()
        writer.transport.abort()

    gone = asyncio.Event()
    server = await asyncio.start_server(half_close, "127.0.0.1", 0)
    client = connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    failed(await client.send(body=LARGE), FailureKind.RESET)
    gone.set()
    server.close()
    await server.wait_closed()


async def test_senders_beyond_the_bound_wait_in_turn_and_time_out_with_the_reason(connect, eventually):
    async with ScriptedEndpoint(play.silence()) as endpoint:
        client = connect(endpoint, connections_max=1)
        first = asyncio.ensure_future(client.send())
        second = asyncio.ensure_future(client.send())
        await endpoint.wait_for(1)
        client.let_deadlines_pass()
        failed(await first, FailureKind.TIMEOUT_WAIT)
        assert "waiting for one of the endpoint's 1 connections" in failed(await second, FailureKind.TIMEOUT_CONNECT)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENETUNREACH, FailureKind.UNREACHABLE),
        (errno.EHOSTUNREACH, FailureKind.UNREACHABLE),
        (errno.EACCES, FailureKind.UNREACHABLE),
        (errno.ECONNREFUSED, FailureKind.REFUSED),
        (errno.ETIMEDOUT, FailureKind.TIMEOUT_CONNECT),
        (errno.ECONNRESET, FailureKind.RESET),
        (errno.EMFILE, FailureKind.CONFIGURATION),
        (errno.EINVAL, FailureKind.RESET),
    ],
)
def test_each_error_of_connecting_has_its_kind_and_the_systems_words(number, kind):
    trouble = connect_trouble(
        OSError(number, f"[Errno {number}] Connect call failed"), "http://a", "1.2.3.4:80", is_tls=False
    )
    assert trouble.kind is kind
    assert kind in {FailureKind.REFUSED, FailureKind.TIMEOUT_CONNECT} or os.strerror(number).lower() in trouble.detail


def test_a_host_that_vanishes_under_an_open_connection_is_unreachable():
    assert lost_trouble(OSError(errno.EHOSTUNREACH, "x"), "http://a", answering=False).kind is FailureKind.UNREACHABLE
    assert lost_trouble(TimeoutError(errno.ETIMEDOUT, "x"), "http://a", answering=True).kind is FailureKind.UNREACHABLE


async def test_no_failure_shows_path_query_or_headers(connect):
    script = [
        play.reset(),
        play.close(),
        play.garbage(b"POST /SECRET HTTP/1.1\r\n"),
        play.giant_header(),
        play.silence(),
    ]
    async with ScriptedEndpoint(script) as endpoint:
        client = connect(f"{endpoint.url}/SECRET?x=SECRET", headers=(("X-Key", "SECRET"),), timeout_ms=300)
        outcomes = [await client.send() for _ in script]
        await endpoint.refuse()
        outcomes.append(await client.send())
    assert all(isinstance(outcome, Failed) for outcome in outcomes)
    assert not any("SECRET" in outcome.detail for outcome in outcomes)


async def expired(client, sending, eventually, condition):
    """The outcome when the time runs out at the moment in which ``condition`` holds for the connection."""
    sending = asyncio.ensure_future(sending)
    await eventually(lambda: any(map(condition, client.connections)))
    client.let_deadlines_pass()
    return await sending


# Helpers -----------------------------------------------------------------------------------------------------


class full_backlog:  # noqa: N801 - reads as a statement
    """Connects until the system takes no more connections for a port whose owner accepts none."""

    def __init__(self, port: int) -> None:
        self._port, self._sockets = port, []

    def __enter__(self):
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self._port))
            self._sockets.append(sock)

    def __exit__(self, *_):
        for sock in self._sockets:
            sock.close()


def patch_lookups(monkeypatch, getaddrinfo) -> None:
    class Socket:
        def __getattr__(self, name):
            return getaddrinfo if name == "getaddrinfo" else getattr(socket, name)

    monkeypatch.setattr("roombell.transport.connect.socket", Socket())


def fail_lookups(monkeypatch, error: OSError) -> None:
    def getaddrinfo(*_, **__):
        raise error

    patch_lookups(monkeypatch, getaddrinfo)


def answer_lookups(monkeypatch, *ips: str) -> None:
    def getaddrinfo(host, port, **_):
        return found(*ips)

    patch_lookups(monkeypatch, getaddrinfo)


def found(*ips: str):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in ips for _ in range(2)]


def redirected_dial(ports: dict[str, int]):
    async def dial(self, address, factory):
        _, protocol = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", ports[address.ip])
        return protocol

    return dial
