"""HTTPS: host names are checked, and each way in which TLS fails is told apart."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
import threading

import pytest
import trustme

from roombell.engine.model import FailureKind
from roombell.testing import behaviours as play
from roombell.testing.endpoint import ScriptedEndpoint

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
FAR_AHEAD = dt.datetime(2090, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority):
    """What a client uses that trusts the tests' own authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def server_side(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


@pytest.fixture(scope="module")
def valid(authority):
    return server_side(authority.issue_cert("localhost", "127.0.0.1"))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_trusted_endpoint_is_reached_by_name_and_by_address_on_a_kept_connection(
    connect, valid, trusting, host
):
    async with ScriptedEndpoint(tls=valid) as endpoint:
        client = connect(f"https://{host}:{endpoint.port}/hook", tls=trusting)
        outcomes = [await client.send(body=b"x" * 200_000) for _ in range(3)]
        assert [(one.status, one.reused_connection) for one in outcomes] == [(200, False), (200, True), (200, True)]
        assert endpoint.requests[0].body == b"x" * 200_000


async def refusal_of(connect, context: ssl.SSLContext, trusting, host: str = "localhost", **target) -> str:
    async with ScriptedEndpoint(tls=context) as endpoint:
        outcome = await connect(f"https://{host}:{endpoint.port}/?token=SECRET", tls=trusting, **target).send()
        assert outcome.kind is FailureKind.TLS, outcome
        assert endpoint.requests == []
        assert outcome.detail.startswith(f"No secure connection to https://{host}:{endpoint.port}: ")
        return outcome.detail


async def test_a_certificate_for_another_name_is_refused(connect, authority, trusting):
    context = server_side(authority.issue_cert("other.example"))
    assert "for another host name" in await refusal_of(connect, context, trusting)


async def test_a_certificate_for_another_address_is_refused(connect, authority, trusting):
    context = server_side(authority.issue_cert("localhost"))
    assert "for another address" in await refusal_of(connect, context, trusting, host="127.0.0.1")


async def test_an_expired_certificate_is_refused(connect, authority, trusting):
    expired = authority.issue_cert("localhost", not_before=LONG_AGO, not_after=LONG_AGO + dt.timedelta(days=90))
    assert "has expired" in await refusal_of(connect, server_side(expired), trusting)


async def test_a_certificate_that_is_not_valid_yet_is_refused(connect, authority, trusting):
    early = authority.issue_cert("localhost", not_before=FAR_AHEAD, not_after=FAR_AHEAD + dt.timedelta(days=90))
    assert "not valid yet" in await refusal_of(connect, server_side(early), trusting)


async def test_an_unknown_authority_is_refused(connect, valid):
    told = await refusal_of(connect, valid, ssl.create_default_context())
    assert "authority that is not trusted here" in told


class blocking_server:  # noqa: N801 - reads as a statement
    """A TLS server on a thread: asyncio's own drops the connection before it has told the client what is wrong."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"https://localhost:{self._listener.getsockname()[1]}/"

    def _serve(self) -> None:
        sock, _ = self._listener.accept()
        sock.settimeout(10)
        plain = sock.dup()
        with plain, contextlib.suppress(OSError):
            with contextlib.suppress(ssl.SSLError), self._context.wrap_socket(sock, server_side=True) as secure:
                secure.recv(1)
            while plain.recv(65_536):  # closing with bytes unread would send a reset, which overtakes the alert
                pass

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join()
        self._listener.close()


async def test_a_client_certificate_that_is_wanted_and_missing_is_told(connect, authority, trusting):
    context = server_side(authority.issue_cert("localhost"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    with blocking_server(context) as server:
        outcome = await connect(server.url, tls=trusting).send()
    assert outcome.kind is FailureKind.TLS
    assert "it wants a client certificate" in outcome.detail


async def test_no_common_version_is_told(connect, authority, trusting):
    context = server_side(authority.issue_cert("localhost"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    old = ssl.create_default_context()
    authority.configure_trust(old)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with blocking_server(context) as server:
        outcome = await connect(server.url, tls=old).send()
    assert outcome.kind is FailureKind.TLS
    assert "it refused our TLS version" in outcome.detail


async def test_a_server_that_closes_during_the_handshake_is_told(connect, trusting):
    async def hang_up(reader, writer):
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    outcome = await connect(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", tls=trusting).send()
    assert outcome.kind is FailureKind.TLS
    assert "closed the connection during the TLS handshake" in outcome.detail
    server.close()
    await server.wait_closed()


async def test_https_to_a_port_that_speaks_http_is_told(connect, trusting):
    async with ScriptedEndpoint() as endpoint:
        outcome = await connect(f"https://localhost:{endpoint.port}/", tls=trusting).send()
    assert outcome.kind is FailureKind.TLS


async def test_https_to_a_port_that_answers_in_plain_text_is_told(connect, trusting):
    async def answer_in_plain(reader, writer):
        await reader.read(1)
        writer.write(play.answer_bytes(400))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer_in_plain, "127.0.0.1", 0)
    outcome = await connect(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", tls=trusting).send()
    assert outcome.kind is FailureKind.TLS
    assert "does not speak TLS there; is it an http:// address?" in outcome.detail
    server.close()
    await server.wait_closed()


async def test_http_to_a_port_that_speaks_tls_is_not_an_answer(connect, valid):
    async with ScriptedEndpoint(tls=valid) as endpoint:
        outcome = await connect(f"http://localhost:{endpoint.port}/").send()
    assert outcome.kind in {FailureKind.PROTOCOL, FailureKind.RESET}


async def test_a_handshake_that_hangs_is_a_timeout_while_connecting(connect, trusting, eventually):
    async with ScriptedEndpoint() as endpoint:
        await endpoint.black_hole()
        outcome = await connect(f"https://localhost:{endpoint.port}/", tls=trusting, timeout_ms=50).send()
    assert outcome.kind is FailureKind.TIMEOUT_CONNECT


async def test_a_close_in_the_middle_of_an_answer_over_tls_is_a_reset(connect, valid, trusting):
    async with ScriptedEndpoint(
        [play.close(b"HTTP/1.1 2"), play.truncated_body(), play.reply()], tls=valid
    ) as endpoint:
        client = connect(f"https://localhost:{endpoint.port}/", tls=trusting)
        first, second, third = [await client.send() for _ in range(3)]
    assert (first.kind, second.status, third.status) == (FailureKind.RESET, 200, 200)


async def test_cancelling_a_handshake_leaves_no_socket(connect, trusting, descriptors_count, eventually):
    async with ScriptedEndpoint() as endpoint:
        await endpoint.black_hole()
        before = descriptors_count()
        client = connect(f"https://127.0.0.1:{endpoint.port}/", tls=trusting)
        sending = asyncio.ensure_future(client.send())
        await eventually(lambda: descriptors_count() > before)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await eventually(lambda: descriptors_count() <= before)


async def test_https_uses_the_systems_authorities_by_default(connect, valid):
    async with ScriptedEndpoint(tls=valid) as endpoint:
        outcome = await connect(f"https://localhost:{endpoint.port}/").send()
    assert outcome.kind is FailureKind.TLS
