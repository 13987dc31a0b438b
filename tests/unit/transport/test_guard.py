"""Which addresses may be connected to: the built-in rules, the operator's, and addresses that carry others."""

import pytest

from roombell.errors import UsageError
from roombell.transport.guard import Guard, NetworkPolicy, Reach

OPERATOR = NetworkPolicy()
PUBLIC = NetworkPolicy(reach=Reach.PUBLIC)

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.1",
    "fe80::a9fe:a9fe",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:42::42",
    "fd00:c1::a9fe:a9fe",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
]
PRIVATE = ["127.0.0.1", "::1", "10.0.0.7", "172.16.5.4", "192.168.1.1", "100.64.0.1", "fd12::1", "0.0.0.0", "::"]
PUBLIC_ADDRESSES = ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::200e"]
NEVER_PUBLIC = ["224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "ff02::1", "2001:db8::1", "fec0::1", "4000::1", "100::1", "5f00::1", "3fff::1"]  # fmt: skip

CARRIERS = {
    "IPv4-mapped": "::ffff:{dotted}",
    "IPv4-mapped in hex": "::ffff:{hex}",
    "IPv4-compatible": "::{dotted}",
    "IPv4-translated": "::ffff:0:{hex}",
    "NAT64": "64:ff9b::{hex}",
    "local NAT64, /96": "64:ff9b:1::{hex}",
    "6to4": "2002:{hex}::1",
    "Teredo server": "2001:0:{hex}:0:ffff:f7f7:f7f7",
    "Teredo client": "2001:0:808:808:0:ffff:{inverted}",
    "ISATAP": "2a00:1450::5efe:{hex}",
    "ISATAP, global": "2a00:1450::200:5efe:{hex}",
}


def forms(ip: str) -> dict[str, str]:
    octets = bytes(map(int, ip.split(".")))
    inverted = bytes(255 - octet for octet in octets)
    return {"dotted": ip, "hex": octets.hex(":", 2), "inverted": inverted.hex(":", 2)}


def is_open(ip: str, policy: NetworkPolicy = OPERATOR) -> bool:
    return Guard(policy).ruling(ip) is None


@pytest.mark.parametrize("ip", METADATA)
def test_nobody_reaches_link_local_and_metadata_addresses(ip):
    assert not is_open(ip)
    assert not is_open(ip, PUBLIC)


@pytest.mark.parametrize("ip", [*PRIVATE, *PUBLIC_ADDRESSES])
def test_the_operators_endpoints_may_be_anywhere_else(ip):
    assert is_open(ip)


@pytest.mark.parametrize("ip", [*PRIVATE, *NEVER_PUBLIC])
def test_endpoints_of_others_reach_nothing_private(ip):
    assert not is_open(ip, PUBLIC)


@pytest.mark.parametrize("ip", PUBLIC_ADDRESSES)
def test_endpoints_of_others_reach_the_internet(ip):
    assert is_open(ip, PUBLIC)


@pytest.mark.parametrize("form", CARRIERS.values(), ids=CARRIERS.keys())
@pytest.mark.parametrize("policy", [NetworkPolicy(), PUBLIC], ids=["operator", "public"])
def test_the_address_that_is_carried_is_judged_too(form, policy):
    ip = form.format(**forms("169.254.169.254"))
    ruling = Guard(policy).ruling(ip)
    assert ruling is not None
    if policy is not PUBLIC:  # there the carrier itself may be what is forbidden
        assert (ruling.ip, ruling.network) == ("169.254.169.254", "169.254.0.0/16")


@pytest.mark.parametrize("form", CARRIERS.values(), ids=CARRIERS.keys())
def test_private_addresses_are_not_reached_inside_others(form):
    assert is_open(form.format(**forms("10.0.0.1")))
    assert not is_open(form.format(**forms("10.0.0.1")), PUBLIC)


@pytest.mark.parametrize(
    ("prefix", "ip"),
    [
        (48, "64:ff9b:1:a9fe:00a9:fe00::"),
        (56, "64:ff9b:1:00a9:00fe:a9fe::"),
        (64, "64:ff9b:1:0:00a9:fea9:fe00:0"),
        (96, "64:ff9b:1::a9fe:a9fe"),
    ],
)
def test_a_networks_own_nat64_is_judged_wherever_the_prefix_ends(prefix, ip):
    ruling = Guard(NetworkPolicy(allow=("64:ff9b:1::/48",))).ruling(ip)
    assert ruling is not None, prefix
    assert ruling.ip == "169.254.169.254"


@pytest.mark.parametrize(
    ("ip", "network", "leads_to"),
    [
        ("0.0.0.0", "127.0.0.0/8", "127.0.0.1"),
        ("::ffff:0.0.0.0", "127.0.0.0/8", "127.0.0.1"),
        ("::", "::1", "::1"),
    ],
)
def test_the_address_that_is_none_is_this_machine(ip, network, leads_to):
    ruling = Guard(NetworkPolicy(deny=(network,))).ruling(ip)
    assert ruling is not None
    assert (ruling.ip, ruling.why) == (leads_to, "denied by network.deny")


def test_the_internet_behind_nat64_is_public():
    assert is_open("64:ff9b::808:808", PUBLIC)
    assert not is_open("64:ff9b:1::808:808", PUBLIC)
    assert is_open("64:ff9b:1::808:808", NetworkPolicy(allow=("64:ff9b:1::/48",), reach=Reach.PUBLIC))


@pytest.mark.parametrize(
    ("policy", "opened", "shut"),
    [
        (NetworkPolicy(deny=("10.0.0.0/8",)), ["11.0.0.1"], ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203"]),
        (NetworkPolicy(deny=("10.0.0.0/8",), allow=("10.1.0.0/16",)), ["10.1.2.3"], ["10.2.0.1"]),
        (NetworkPolicy(allow=("10.0.0.0/8",), deny=("10.1.0.0/16",)), ["10.2.0.1"], ["10.1.2.3"]),
        (NetworkPolicy(allow=("10.0.0.0/8",), deny=("10.0.0.0/8",)), [], ["10.2.0.1"]),
        (NetworkPolicy(deny=("0.0.0.0/0", "::/0"), allow=("10.1.0.0/16",)), ["10.1.0.1"], ["8.8.8.8", "2606::1", "::1"]),
        (NetworkPolicy(allow=("169.254.169.254",)), ["169.254.169.254", "::ffff:169.254.169.254"], ["169.254.169.253"]),
        (NetworkPolicy(allow=("0.0.0.0/0", "::/0")), ["10.0.0.1"], ["169.254.169.254", "fe80::1"]),
        (NetworkPolicy(allow=("169.254.0.0/16",)), ["169.254.1.1"], []),
        (NetworkPolicy(allow=("::ffff:169.254.0.0/112",)), ["169.254.1.1"], []),
        (NetworkPolicy(allow=("10.0.0.0/8",), reach=Reach.PUBLIC), ["10.2.0.1", "8.8.8.8"], ["192.168.1.1", "::1"]),
        (NetworkPolicy(allow=("fd00::/8",), reach=Reach.PUBLIC), ["fd12::1"], ["fd00:ec2::254", "fc00::1"]),
        (NetworkPolicy(allow=("127.0.0.1",), reach=Reach.PUBLIC), ["127.0.0.1"], ["127.0.0.2", "::1"]),
        (NetworkPolicy(deny=("8.8.8.0/24",), reach=Reach.PUBLIC), ["8.8.4.4"], ["8.8.8.8"]),
    ],
)  # fmt: skip
def test_the_smallest_network_decides_and_the_operator_over_the_built_in(policy, opened, shut):
    assert [ip for ip in opened if not is_open(ip, policy)] == []
    assert [ip for ip in shut if is_open(ip, policy)] == []


@pytest.mark.parametrize("text", ["", "not an address", "127.1", "0x7f000001", "1.2.3.4:80", "[::1]", "1.2.3.4/32"])
def test_what_is_no_address_is_forbidden(text):
    assert not is_open(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10.0.0.0/33", "is no network: write it as"),
        ("example.com", "is no network: write it as"),
        ("10.0.0.1/8", "Did you mean 10.0.0.0/8?"),
        ("", "is no network: write it as"),
        ("fe80::1%eth0", "is no network"),
    ],
)
def test_a_network_that_is_none_is_refused_with_the_mend(text, told):
    with pytest.raises(UsageError, match="network") as caught:
        NetworkPolicy(allow=(text,)).check()
    assert told in str(caught.value)
