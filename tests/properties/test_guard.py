"""The guard agrees with the standard library about every address, and no form of an address gets around it."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from hypothesis import example, given
from hypothesis import strategies as st

from roombell.transport.guard import Guard, NetworkPolicy, Reach

OPERATOR = Guard(NetworkPolicy())
PUBLIC = Guard(NetworkPolicy(reach=Reach.PUBLIC))

STRICTER = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # holds a few anycast addresses that are global, and no web server
            "192.88.99.0/24",
            "168.63.129.16/32",
            "::/3",  # all but 2000::/3: nothing there is given to anybody, save for the gateways below
            "4000::/2",
            "8000::/1",
            "2001::/23",
            "2002::/16",
            "3fff::/20",
        ),
    )
)
"""Where the guard is stricter than one or another version of ``ipaddress``, and why it may be."""

NEAR_EDGES = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4", "::/127", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23",
    "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::/32", "2000::/3",
]  # fmt: skip


@st.composite
def near_an_edge(draw: st.DrawFn) -> IPv4Address | IPv6Address:
    """An address within, at, or just beyond the borders of the networks that matter."""
    network = ipaddress.ip_network(draw(st.sampled_from(NEAR_EDGES)))
    first, last = int(network.network_address), int(network.broadcast_address)
    bits = draw(st.one_of(st.integers(-2, 2).map(first.__add__), st.integers(-2, 2).map(last.__add__), st.integers(first, last)))  # fmt: skip
    make = IPv4Address if network.version == 4 else IPv6Address
    return make(bits % 2**network.max_prefixlen)


addresses = st.one_of(st.ip_addresses(), near_an_edge())
ipv4 = st.one_of(st.ip_addresses(v=4), near_an_edge().filter(lambda ip: ip.version == 4))


def is_open(guard: Guard, ip: object) -> bool:
    return guard.ruling(str(ip)) is None


def carried(ip: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """What the standard library finds inside an address."""
    if isinstance(ip, IPv4Address):
        return []
    found = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in IPv6Network("64:ff9b::/96"):
        found.append(IPv4Address(int(ip) & 0xFFFFFFFF))
    return [one for one in found if one is not None]


def is_plainly_public(ip: IPv4Address | IPv6Address) -> bool:
    inner = carried(ip)
    if ip.version == 6 and inner and (ip.ipv4_mapped or ip in IPv6Network("64:ff9b::/96")):
        return all(map(is_plainly_public, inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and all(map(is_plainly_public, inner))


@given(addresses)
def test_what_endpoints_of_others_may_reach_is_public_by_the_standard_library(ip) -> None:
    if is_open(PUBLIC, ip):
        assert is_plainly_public(ip)
        assert not (ip.is_private and not carried(ip))
        assert not ip.is_loopback
        assert not ip.is_link_local
        assert not ip.is_multicast
        assert not ip.is_unspecified


@given(addresses)
def test_what_is_public_by_the_standard_library_may_be_reached(ip) -> None:
    if is_plainly_public(ip) and not any(ip in network for network in STRICTER) and not carried(ip):
        isatap = ip.version == 6 and (int(ip) >> 32) & 0xFCFFFFFF == 0x5EFE
        assert is_open(PUBLIC, ip) or isatap


@given(addresses)
def test_the_operators_endpoints_reach_all_but_link_local_and_metadata(ip) -> None:
    everything = [ip, *carried(ip)]
    if any(one.is_link_local for one in everything):
        assert not is_open(OPERATOR, ip)
    elif (ruling := OPERATOR.ruling(str(ip))) is not None:
        assert "metadata" in ruling.why


@given(ipv4)
@example(IPv4Address("169.254.169.254"))
def test_no_form_of_an_ipv4_address_is_more_open_than_itself(ip) -> None:
    forms = [
        IPv6Address(b"\0" * 10 + b"\xff\xff" + ip.packed),
        IPv6Address(b"\0" * 12 + ip.packed),
        IPv6Address(bytes.fromhex("0064ff9b0000000000000000") + ip.packed),
        IPv6Address(bytes.fromhex("2002") + ip.packed + b"\0" * 10),
        IPv6Address(bytes.fromhex("20010000") + ip.packed + b"\0" * 8),
        IPv6Address(bytes.fromhex("2001000008080808") + b"\0" * 4 + bytes(255 - octet for octet in ip.packed)),
    ]
    for guard in (OPERATOR, PUBLIC):
        if not is_open(guard, ip):
            for form in forms[1 if int(ip) <= 1 else 0 :]:
                if int(form) > 1:
                    assert not is_open(guard, form), form


@given(ipv4)
def test_a_mapped_address_is_judged_as_what_it_is(ip) -> None:
    for guard in (OPERATOR, PUBLIC):
        assert is_open(guard, ip) == is_open(guard, f"::ffff:{ip}")


@given(addresses, st.data())
def test_denying_any_network_around_an_address_shuts_it(ip, data) -> None:
    longest = 32 if ip.version == 4 else 128
    length = data.draw(st.integers(0, longest))
    network = ipaddress.ip_network(f"{ip}/{length}", strict=False)
    assert not is_open(Guard(NetworkPolicy(deny=("0.0.0.0/0", "::/0", str(ip)))), ip)
    if OPERATOR.ruling(str(ip)) is None and not carried(ip):
        assert not is_open(Guard(NetworkPolicy(deny=(str(network),))), ip)


@given(addresses)
def test_allowing_an_address_itself_opens_it_unless_what_it_carries_is_shut(ip) -> None:
    guard = Guard(NetworkPolicy(allow=(str(ip),), deny=("0.0.0.0/0", "::/0"), reach=Reach.PUBLIC))
    ruling = guard.ruling(str(ip))
    assert ruling is None or ruling.ip != str(ip)


@given(st.text(max_size=40))
def test_no_text_gets_by_as_an_address(text) -> None:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        assert not is_open(OPERATOR, text)
