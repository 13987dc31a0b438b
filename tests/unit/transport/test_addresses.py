"""The address that is dialled is the one that was judged: whatever the URL says and the name server answers."""

import asyncio
import random

import pytest

from roombell.engine.model import Failed, FailureKind
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.transport.guard import NetworkPolicy, Reach
from support.names import NameServer

ALLOWED, FORBIDDEN = "127.0.0.1", "127.0.0.2"
ONLY_ALLOWED = NetworkPolicy(deny=(FORBIDDEN,))


@pytest.fixture
async def two_servers():
    """One on an address that is allowed and one on an address that is not, on the same port."""
    async with ScriptedEndpoint(host=ALLOWED) as allowed, ScriptedEndpoint(host=FORBIDDEN) as forbidden:
        server = await asyncio.get_running_loop().create_server(forbidden._new_connection, FORBIDDEN, allowed.port)
        yield allowed, forbidden
        server.close()


def refused(outcome) -> str:
    assert isinstance(outcome, Failed), outcome
    assert outcome.kind is FailureKind.BLOCKED
    return outcome.detail


async def test_a_name_is_resolved_once_and_the_judged_address_is_dialled(connect, two_servers):
    allowed, forbidden = two_servers
    async with NameServer([ALLOWED], [FORBIDDEN]) as names:
        client = connect(f"http://rebinding.invalid:{allowed.port}/", lookup=names.lookup, network=ONLY_ALLOWED)
        assert (await client.send()).status == 200
        assert names.queries == ["rebinding.invalid"]
        assert allowed.requests[0].header("Host") == f"rebinding.invalid:{allowed.port}"
        allowed.drop_connections()
        detail = refused(await client.send())
        assert names.queries == ["rebinding.invalid"] * 2
    assert (allowed.connections_count, forbidden.connections_count) == (1, 0)
    assert detail == (
        f"http://rebinding.invalid:{allowed.port} may not be sent to: it is at 127.0.0.2, and that is forbidden: "
        "denied by network.deny (127.0.0.2/32). If it is meant, change network.deny."
    )


async def test_a_name_server_that_changes_its_answer_each_time_gains_nothing(connect, two_servers):
    allowed, forbidden = two_servers
    draws = random.Random(7)
    answers = [draws.choice([[ALLOWED], [FORBIDDEN], [FORBIDDEN, ALLOWED], [ALLOWED, FORBIDDEN]]) for _ in range(200)]
    async with NameServer(*answers) as names:
        client = connect(
            f"http://rebinding.invalid:{allowed.port}/",
            lookup=names.lookup,
            network=ONLY_ALLOWED,
        )
        for answer in answers:
            outcome = await client.send()
            if ALLOWED in answer:
                assert outcome.status == 200
            else:
                refused(outcome)
            allowed.drop_connections()
            client.transport.configure({}, client.transport._keys)
            client.configure(network=ONLY_ALLOWED)
        assert len(names.queries) == len(answers)
    assert forbidden.connections_count == 0


async def test_forbidden_addresses_of_a_name_are_skipped_and_the_others_dialled(connect, two_servers):
    allowed, forbidden = two_servers
    async with NameServer([FORBIDDEN, "169.254.169.254", ALLOWED]) as names:
        client = connect(f"http://both.invalid:{allowed.port}/", lookup=names.lookup, network=ONLY_ALLOWED)
        assert (await client.send()).status == 200
    assert forbidden.connections_count == 0


SPELLINGS = ["2130706434", "0x7f000002", "0x7f.2", "0177.0.0.2", "127.2", "127.0.2", "017700000002", "0x7F.0x0.0x0.0x2"]  # fmt: skip


@pytest.mark.parametrize("host", [*SPELLINGS, FORBIDDEN, "[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "127.0.0.2.", "①27.0.0.2"])  # fmt: skip
async def test_a_spelling_of_an_address_gains_nothing(connect, two_servers, host):
    allowed, forbidden = two_servers
    outcome = await connect(f"http://{host}:{allowed.port}/", network=ONLY_ALLOWED).send()
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.BLOCKED or (host == "127.0.0.2." and outcome.kind is FailureKind.DNS)
    assert forbidden.connections_count == 0


@pytest.mark.parametrize("host", SPELLINGS)
async def test_the_same_spellings_are_dialled_where_nothing_forbids_them(connect, two_servers, host):
    allowed, forbidden = two_servers
    assert (await connect(f"http://{host}:{allowed.port}/").send()).status == 200
    assert forbidden.connections_count == 1


@pytest.mark.parametrize("ip", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]"])  # fmt: skip
async def test_metadata_services_are_forbidden_by_default(connect, ip):
    assert "network.allow" in refused(await connect(f"http://{ip}/latest/meta-data/?token=SECRET").send())


async def test_an_address_that_leads_to_another_is_told_with_both(connect):
    detail = refused(await connect("http://[64:ff9b::a9fe:a9fe]/").send())
    assert "it is at 64:ff9b::a9fe:a9fe, which leads to 169.254.169.254, and that is forbidden: link-local" in detail
    assert "(169.254.0.0/16)" in detail


async def test_endpoints_of_others_reach_no_private_network_unless_it_is_allowed(connect, two_servers):
    allowed, _ = two_servers
    public = NetworkPolicy(reach=Reach.PUBLIC)
    url = f"http://localhost:{allowed.port}/"
    assert "loopback (127.0.0.0/8)" in refused(await connect(url.replace("localhost", ALLOWED), network=public).send())
    refused(await connect(url, network=public).send())
    opened = NetworkPolicy(allow=("127.0.0.0/8", "::1"), reach=Reach.PUBLIC)
    assert (await connect(url, network=opened).send()).status == 200


async def test_a_kept_connection_ends_when_the_policy_changes(connect, two_servers):
    allowed, _ = two_servers
    client = connect(allowed)
    assert (await client.send()).status == 200
    client.configure(network=NetworkPolicy(deny=("127.0.0.0/8",)))
    refused(await client.send())
    assert len(allowed.requests) == 1


@pytest.mark.parametrize("answer", [["not an address"], ["%eth0"], [""]])
async def test_what_a_resolver_gives_that_is_no_address_is_never_dialled(connect, answer):
    async def lookup(name, port):
        return answer

    refused(await connect("http://odd.invalid/", lookup=lookup).send())
