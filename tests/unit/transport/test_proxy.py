"""Forward proxies: requests get through them, and it is told apart whose fault a failure is."""

import asyncio
import ssl

import pytest
import trustme

from roombell.engine.model import Answered, Failed, FailureKind
from roombell.testing import behaviours as play
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.transport.guard import NetworkPolicy, Reach
from roombell.transport.tls import TlsSettings, read_tls
from support.names import NameServer
from support.proxy import ForwardProxy, gateway_error

SILENCE = b""
PUBLIC_LOOPBACK = NetworkPolicy(allow=("127.0.0.1",), reach=Reach.PUBLIC)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def server_tls(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "app.invalid", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trusting_the_proxy(authority, tmp_path, monkeypatch):
    """Makes the tests' authority one of the system's, as a company's own is on its machines."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    tls = read_tls(TlsSettings(ca=str(path)))
    monkeypatch.setattr("roombell.transport.dialers.read_tls", lambda _: tls)


@pytest.fixture(params=["http", "https"])
async def endpoint(request, server_tls):
    async with ScriptedEndpoint(tls=server_tls if request.param == "https" else None) as one:
        yield one


def client_of(connect, endpoint, proxy, trusting, *, host="app.invalid", **more):
    url = endpoint.url.replace("127.0.0.1", host)
    return connect(url + "?q=1", tls=trusting, proxy=proxy if isinstance(proxy, str) else proxy.url, **more)


def failed(outcome, kind: FailureKind) -> str:
    assert isinstance(outcome, Failed), outcome
    assert outcome.kind is kind, outcome
    return outcome.detail


async def test_requests_reach_a_name_that_only_the_proxy_knows(connect, endpoint, trusting):
    async with ForwardProxy(hosts={"app.invalid": "127.0.0.1"}) as proxy:
        client = client_of(connect, endpoint, proxy, trusting, headers=(("X-Team", "media"),))
        outcomes = [await client.send(body=b"x" * 100_000) for _ in range(3)]
    assert [(one.status, one.reused_connection) for one in outcomes] == [(200, False), (200, True), (200, True)]
    assert [(one.target, len(one.body)) for one in endpoint.requests] == [("/webhook?q=1", 100_000)] * 3
    assert {one.header("Host") for one in endpoint.requests} == {f"app.invalid:{endpoint.port}"}


async def test_an_https_endpoint_is_tunnelled_to_and_the_proxy_sees_none_of_the_request(connect, server_tls, trusting):
    async with (
        ScriptedEndpoint(tls=server_tls) as endpoint,
        ForwardProxy(hosts={"app.invalid": "127.0.0.1"}) as proxy,
    ):
        client = client_of(connect, endpoint, proxy, trusting)
        assert (await client.send()).status == 200
        agent = endpoint.requests[0].header("User-Agent")
    where = f"app.invalid:{endpoint.port}"
    assert proxy.heads == [f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\nUser-Agent: {agent}\r\n\r\n"]


async def test_an_http_request_is_handed_over_in_absolute_form(connect, trusting):
    async with ScriptedEndpoint() as endpoint, ForwardProxy(hosts={"app.invalid": "127.0.0.1"}) as proxy:
        await client_of(connect, endpoint, proxy, trusting).send()
    assert proxy.heads[0].startswith(
        f"POST http://app.invalid:{endpoint.port}/webhook?q=1 HTTP/1.1\r\nHost: app.invalid:"
    )


async def test_credentials_are_given_to_the_proxy_and_never_to_the_endpoint(connect, endpoint, trusting):
    async with ForwardProxy(credentials="us:er p@ss/ü", hosts={"app.invalid": "127.0.0.1"}) as proxy:
        url = proxy.url.replace("://", "://us:er%20p%40ss%2F%C3%BC@")
        client = client_of(connect, endpoint, url, trusting)
        assert (await client.send()).status == 200
    assert endpoint.requests[0].header("Proxy-Authorization") is None


async def test_the_custom_authority_is_the_endpoints_behind_the_proxy_too(connect, server_tls):
    async with (
        ScriptedEndpoint(tls=server_tls) as endpoint,
        ForwardProxy(hosts={"app.invalid": "127.0.0.1"}) as proxy,
    ):
        detail = failed(await client_of(connect, endpoint, proxy, ssl.create_default_context()).send(), FailureKind.TLS)
    assert detail.startswith(f"No secure connection to https://app.invalid:{endpoint.port}: ")


@pytest.mark.parametrize(("given", "told"), [("", "wants credentials (407)"), ("user:SECRET@", "refused the cred")])
async def test_a_proxy_that_refuses_the_credentials_is_to_blame(connect, endpoint, trusting, given, told):
    async with ForwardProxy(credentials="user:right") as proxy:
        client = client_of(connect, endpoint, proxy.url.replace("://", f"://{given}"), trusting)
        detail = failed(await client.send(), FailureKind.PROXY)
    assert detail.startswith(f"The proxy {proxy.url} {told}")
    assert "SECRET" not in detail
    assert endpoint.connections_count == 0


async def test_a_proxy_that_is_not_there_is_to_blame(connect, endpoint, trusting):
    async with ScriptedEndpoint() as gone:
        await gone.refuse()
        client = client_of(connect, endpoint, f"http://user:SECRET@127.0.0.1:{gone.port}", trusting)
        detail = failed(await client.send(), FailureKind.PROXY)
    where = f"127.0.0.1:{gone.port}"
    assert detail == f"No way through the proxy: http://{where} refused the connection: nothing listens at {where}."


async def test_a_proxy_without_an_address_is_to_blame(connect, endpoint, trusting):
    client = client_of(connect, endpoint, "http://proxy.invalid:3128", trusting)
    assert "Cannot resolve proxy.invalid" in failed(await client.send(), FailureKind.PROXY)


async def test_a_proxy_that_takes_no_connection_in_time_is_to_blame(connect, endpoint, trusting, monkeypatch):
    async def dial(self, address, factory):
        await asyncio.Event().wait()

    monkeypatch.setattr("roombell.transport.connect.Dialer._dial", dial)
    client = client_of(connect, endpoint, "http://127.0.0.1:3128", trusting, connect_timeout_ms=30)
    assert "within 30 ms: still connecting to 127.0.0.1:3128" in failed(await client.send(), FailureKind.PROXY)


@pytest.mark.parametrize("status", [400, 403, 405, 500])
async def test_a_proxy_that_opens_no_tunnel_is_to_blame(connect, server_tls, trusting, status):
    async with ScriptedEndpoint(tls=server_tls) as endpoint, ForwardProxy(answer=gateway_error(status)) as proxy:
        detail = failed(await client_of(connect, endpoint, proxy, trusting).send(), FailureKind.PROXY)
    assert f"it answered {status}. Does it allow that host?" in detail


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nextra", b"x" * 100_000, b"\r\n\r\n"],
)
async def test_a_proxy_that_answers_nonsense_is_to_blame(connect, server_tls, trusting, answer):
    async with ScriptedEndpoint(tls=server_tls) as endpoint, ForwardProxy(answer=answer) as proxy:
        detail = failed(await client_of(connect, endpoint, proxy, trusting).send(), FailureKind.PROXY)
    assert "gave no valid answer when asked for a tunnel" in detail


async def test_a_proxy_that_closes_without_an_answer_is_to_blame(connect, server_tls, trusting):
    async def hang_up(reader, writer):
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with ScriptedEndpoint(tls=server_tls) as endpoint:
        proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = client_of(connect, endpoint, proxy, trusting)
        assert "no valid answer" in failed(await client.send(), FailureKind.PROXY)
    server.close()
    await server.wait_closed()


async def test_waiting_for_the_tunnel_is_a_timeout_while_connecting(connect, server_tls, trusting):
    async with ScriptedEndpoint(tls=server_tls) as endpoint, ForwardProxy(answer=SILENCE) as proxy:
        client = client_of(connect, endpoint, proxy, trusting, connect_timeout_ms=50)
        detail = failed(await client.send(), FailureKind.TIMEOUT_CONNECT)
    assert f"still waiting for the proxy {proxy.url} to connect to it" in detail


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_an_endpoint_that_the_proxy_cannot_reach_is_to_blame(connect, server_tls, trusting, status):
    async with (
        ScriptedEndpoint(tls=server_tls) as endpoint,
        ForwardProxy(hosts={"app.invalid": "127.0.0.1"}, unreachable=gateway_error(status)) as proxy,
    ):
        await endpoint.refuse()
        detail = failed(await client_of(connect, endpoint, proxy, trusting).send(), FailureKind.UNREACHABLE)
    assert detail.startswith(f"https://app.invalid:{endpoint.port} cannot be reached: the proxy {proxy.url} could not")


@pytest.mark.parametrize(
    "header", ["Proxy-Status: proxy; error=connection_refused", "X-Squid-Error: ERR_CONNECT_FAIL 111"]
)
async def test_a_gateway_error_that_the_proxy_signs_is_no_answer_of_the_endpoint(connect, trusting, header):
    async with ScriptedEndpoint() as endpoint, ForwardProxy(answer=gateway_error(503, header)) as proxy:
        detail = failed(await client_of(connect, endpoint, proxy, trusting).send(), FailureKind.UNREACHABLE)
    assert f"the proxy {proxy.url} answered 503 in its place" in detail


async def test_a_gateway_error_that_nobody_signs_is_the_endpoints_answer(connect, trusting):
    async with ScriptedEndpoint() as endpoint, ForwardProxy(answer=gateway_error(503)) as proxy:
        outcome = await client_of(connect, endpoint, proxy, trusting).send()
    assert isinstance(outcome, Answered)
    assert (outcome.status, outcome.excerpt) == (503, b"trouble")


async def test_the_endpoints_own_failures_stay_its_own(connect, endpoint, trusting):
    async with ForwardProxy(hosts={"app.invalid": "127.0.0.1"}) as proxy:
        client = client_of(connect, endpoint, proxy, trusting)
        endpoint.play([play.reply(500), play.close(), play.garbage(b"no http\r\n\r\n")])
        assert (await client.send()).status == 500
        client.configure(proxy=proxy.url, connections_max=1)  # a fresh connection
        failed(await client.send(), FailureKind.RESET)
        failed(await client.send(), FailureKind.PROTOCOL)


async def test_the_proxys_address_is_judged(connect, endpoint, trusting):
    client = client_of(connect, endpoint, "http://169.254.169.254:3128", trusting)
    assert failed(await client.send(), FailureKind.BLOCKED).startswith("http://169.254.169.254:3128 may not be sent to")


@pytest.mark.parametrize("host", ["169.254.169.254", "0xa9fea9fe", "[::ffff:169.254.169.254]"])
async def test_an_address_in_the_url_is_judged_though_the_proxy_would_dial_it(connect, endpoint, trusting, host):
    async with ForwardProxy() as proxy:
        client = client_of(connect, endpoint, proxy, trusting, host=host)
        assert "may not be sent to" in failed(await client.send(), FailureKind.BLOCKED)
    assert proxy.heads == []


async def test_endpoints_of_others_are_tunnelled_to_the_address_that_was_judged(connect, server_tls, trusting):
    async with (
        ScriptedEndpoint(tls=server_tls) as endpoint,
        ForwardProxy() as proxy,
        NameServer(["127.0.0.1"], ["10.0.0.1"]) as names,
    ):
        client = client_of(connect, endpoint, proxy, trusting, network=PUBLIC_LOOPBACK, lookup=names.lookup)
        assert (await client.send()).status == 200
        assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{endpoint.port} ")
        endpoint.drop_connections()
        client.configure(network=PUBLIC_LOOPBACK, proxy=proxy.url, connections_max=1)
        assert "10.0.0.0/8" in failed(await client.send(), FailureKind.BLOCKED)
    assert len(proxy.heads) == 1


async def test_endpoints_of_others_are_not_handed_whole_to_a_proxy_that_resolves_them(connect, trusting):
    async with ScriptedEndpoint() as endpoint, ForwardProxy() as proxy:
        client = client_of(connect, endpoint, proxy, trusting, network=PUBLIC_LOOPBACK)
        assert "Use https" in failed(await client.send(), FailureKind.BLOCKED)
        client = client_of(connect, endpoint, proxy, trusting, network=PUBLIC_LOOPBACK, host="127.0.0.1")
        assert (await client.send()).status == 200


@pytest.mark.parametrize("host", ["0177.0.0.1", "127.1", "2130706433"])
@pytest.mark.parametrize("network", [NetworkPolicy(), PUBLIC_LOOPBACK], ids=["operator", "public"])
async def test_a_proxy_is_handed_no_spelling_that_it_may_read_otherwise(connect, trusting, host, network):
    async with ScriptedEndpoint() as endpoint, ForwardProxy() as proxy:
        client = client_of(connect, endpoint, proxy, trusting, network=network, host=host)
        assert "Write 127.0.0.1 in the URL." in failed(await client.send(), FailureKind.BLOCKED)
    assert proxy.heads == []


async def test_a_proxy_can_be_spoken_to_over_tls(connect, endpoint, trusting, server_tls, trusting_the_proxy):
    async with ForwardProxy(hosts={"app.invalid": "127.0.0.1"}, tls=server_tls) as proxy:
        client = client_of(connect, endpoint, proxy, trusting)
        outcomes = [await client.send(body=b"x" * 300_000) for _ in range(2)]
    assert [one.status for one in outcomes] == [200, 200]
    assert len(endpoint.requests) == 2


async def test_a_proxy_whose_certificate_is_not_trusted_is_to_blame(connect, endpoint, trusting, server_tls):
    async with ForwardProxy(tls=server_tls) as proxy:
        detail = failed(await client_of(connect, endpoint, proxy, trusting).send(), FailureKind.PROXY)
    assert "No way through the proxy: No secure connection to https://127.0.0.1" in detail


@pytest.mark.parametrize("answer", [None, gateway_error(502), b"nonsense\r\n\r\n"])
async def test_nothing_stays_open_after_failures(connect, server_tls, descriptors_count, eventually, answer):
    hosts = {"app.invalid": "127.0.0.1"}
    async with ScriptedEndpoint(tls=server_tls) as endpoint, ForwardProxy(answer=answer, hosts=hosts) as proxy:
        client = client_of(connect, endpoint, proxy, ssl.create_default_context())  # which trusts no endpoint here
        assert isinstance(await client.send(), Failed)
        await eventually(lambda: endpoint.open_connections_count == 0)
        before = descriptors_count()
        for _ in range(20):
            assert isinstance(await client.send(), Failed)
        await eventually(lambda: descriptors_count() <= before)


async def test_a_cancelled_tunnel_leaves_no_socket(connect, server_tls, trusting, descriptors_count, eventually):
    async with ScriptedEndpoint(tls=server_tls) as endpoint, ForwardProxy(answer=SILENCE) as proxy:
        before = descriptors_count()
        client = client_of(connect, endpoint, proxy, trusting)
        sending = asyncio.ensure_future(client.send())
        await eventually(lambda: bool(proxy.heads))
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await eventually(lambda: descriptors_count() <= before)
