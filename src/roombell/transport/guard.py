"""Which addresses may be connected to. Pure: an address and a policy go in, a rule that forbids it comes out, or none.

What is judged is the address that will be dialled, never the text that led to it. So no spelling of a URL matters:
``http://2130706433/``, ``http://0x7f.1/``, names in other scripts and names that resolve to something new each time
are all an address by the time they get here.

A policy is a list of networks that are open or shut, some built in and some the operator's. The smallest network that
holds the address decides, as in routing; between networks of one size the operator's own wins over a built-in one, and
shut over open. So ``allow`` opens what it names and nothing that is named more narrowly: ``allow: [0.0.0.0/0]`` leaves
the metadata service shut, ``allow: [169.254.169.254/32]`` opens it; and ``deny: [0.0.0.0/0]`` with ``allow:
[10.1.0.0/16]`` leaves one network.

An IPv6 address may carry an IPv4 address that some gateway on the way will connect to (NAT64, 6to4, Teredo and their
like). Both have to be allowed.

Sources: IANA's special-purpose address registries for IPv4 and IPv6 (October 2025); RFC 4291 (mapped, compatible), RFC
2765 (translated), RFC 6052 and 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 5214 (ISATAP); the clouds' manuals
for the metadata services that are not link-local.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

import msgspec

from roombell.errors import UsageError

NETWORKS_MAX: Final = 1000

IpAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Reach(StrEnum):
    """What is open where the operator names no networks."""

    OPERATOR = "operator"
    """Everything but link-local addresses and the clouds' metadata services: for endpoints that the operator wrote
    down, whose applications run on the same machine or in the same private network as often as not."""
    PUBLIC = "public"
    """Addresses of the public internet only: for endpoints that anybody else may have chosen."""


class NetworkPolicy(msgspec.Struct, frozen=True):
    """Where an endpoint may be. Networks are written as ``10.0.0.0/8``, ``fd00::/8``, or as one address."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    reach: Reach = Reach.OPERATOR

    def check(self) -> None:
        """Refuses what is no network.

        :raises UsageError: names the text and the mend.
        """
        for text in (*self.allow, *self.deny):
            parse_network(text)


class Ruling(msgspec.Struct, frozen=True):
    """The network that forbids an address."""

    network: str
    why: str
    """What the network is, in words."""
    ip: str
    """The address that lies in it: the one that was judged, or the IPv4 address that it carries."""
    mend: str = "check what the name resolves to"
    """What to do if the address is meant."""


class Guard:
    """Judges addresses by one policy.

    :raises UsageError: a network of the policy is none.
    """

    def __init__(self, policy: NetworkPolicy) -> None:
        self._rules = tuple(_rules_of(policy))

    def ruling(self, ip: str) -> Ruling | None:
        """What forbids connecting to ``ip``; None if nothing does.

        :param ip: as a resolver gives it, a zone (``%eth0``) included; what is no address is forbidden.
        """
        try:
            address = ipaddress.ip_address(ip.partition("%")[0])
        except ValueError:
            return Ruling("", "no IP address", ip)
        for one in _addresses_in(address):
            rule = self._decisive(one)
            if not rule.is_open:
                mend = "change network.deny" if rule.is_operators else f"add {one} to network.allow"
                return Ruling(str(rule.network), rule.why, str(one), mend)
        return None

    def _decisive(self, address: IpAddress) -> _Rule:
        # The rules stand in order of their strength, and the last resort holds every address.
        return next(rule for rule in self._rules if address in rule.network)


@lru_cache(maxsize=256)
def guard_of(policy: NetworkPolicy) -> Guard:
    """The guard of a policy; endpoints with equal policies share one."""
    return Guard(policy)


def parse_network(text: str) -> Network:
    """A network as ``10.0.0.0/8`` or one address.

    :raises UsageError: it is none, or has bits set beyond its length.
    """
    try:
        network = ipaddress.ip_network(text.replace("%", "no zone "), strict=False)
    except ValueError:
        raise UsageError(f"{text!a} is no network: write it as 10.0.0.0/8, fd00::/8 or 192.0.2.7.") from None
    if int(network.network_address) != int(ipaddress.ip_address(text.partition("/")[0])):
        raise UsageError(f"{text!a} is no network: it has bits set beyond its length. Did you mean {network}?")
    return network


class _Rule(msgspec.Struct, frozen=True):
    network: Network
    is_open: bool
    why: str
    is_operators: bool = False

    @property
    def weakness(self) -> tuple[int, bool, bool]:
        """Sorts the strongest rule first: small networks, then the operator's, then those that shut."""
        return (-self.network.prefixlen, not self.is_operators, self.is_open)


def _rules_of(policy: NetworkPolicy) -> Iterator[_Rule]:
    built_in = _NEVER if policy.reach is Reach.OPERATOR else (*_NEVER, *_NOT_PUBLIC)
    rules = [_Rule(ipaddress.ip_network(text), is_open=False, why=why) for text, why in built_in]
    is_public = policy.reach is Reach.PUBLIC
    rules.append(_Rule(ipaddress.ip_network("0.0.0.0/0"), is_open=True, why="the public internet"))
    rules.append(_Rule(ipaddress.ip_network("::/0"), is_open=not is_public, why="not the public internet"))
    if is_public:
        rules.append(_Rule(ipaddress.ip_network("2000::/3"), is_open=True, why="the public internet"))
        rules.append(_Rule(ipaddress.ip_network("64:ff9b::/96"), is_open=True, why="a gateway to IPv4"))
    rules += _operators(policy.allow, is_open=True, why="allowed by network.allow")
    rules += _operators(policy.deny, is_open=False, why="denied by network.deny")
    return iter(sorted(rules, key=lambda rule: rule.weakness))


def _operators(texts: Iterable[str], *, is_open: bool, why: str) -> Iterator[_Rule]:
    for text in texts:
        yield _Rule(_plain_network(parse_network(text)), is_open, why, is_operators=True)


def _plain_network(network: Network) -> Network:
    """A network of mapped addresses as the IPv4 network that it is."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        inner = int(network.network_address) & 0xFFFFFFFF
        return IPv4Network((inner, network.prefixlen - 96))
    return network


def _addresses_in(address: IpAddress) -> Iterator[IpAddress]:
    """The address that is dialled, every IPv4 address that it carries, and loopback where it is no address at all:
    systems connect to themselves then.
    """
    mapped = address if isinstance(address, IPv4Address) else address.ipv4_mapped  # the system itself dials IPv4
    if mapped is not None:
        yield mapped
        if mapped.is_unspecified:
            yield _LOOPBACK_IPV4
        return
    assert isinstance(address, IPv6Address)
    yield address
    bits = int(address)
    if address.is_unspecified:
        yield _LOOPBACK_IPV6
    if bits <= 1:
        return  # no address, and loopback
    low = IPv4Address(bits & 0xFFFFFFFF)
    if any(address in network for network in _ENDS_IN_IPV4) or _is_isatap(bits):
        yield low
    elif address in _NAT64_LOCAL:
        yield from _local_nat64(bits)
    elif address in _6TO4:
        yield IPv4Address(bits >> 80 & 0xFFFFFFFF)
    elif address in _TEREDO:
        yield IPv4Address(bits >> 64 & 0xFFFFFFFF)
        yield IPv4Address(~bits & 0xFFFFFFFF)


def _is_isatap(bits: int) -> bool:
    """Whether the interface identifier is ISATAP's: ``0:5efe`` or ``200:5efe``, then an IPv4 address."""
    return bits >> 32 & 0xFCFFFFFF == _ISATAP


def _local_nat64(bits: int) -> Iterator[IPv4Address]:
    """The IPv4 address in each of the places where RFC 6052 can put it within ``64:ff9b:1::/48``.

    The prefix's length is the network's own affair, so all are judged. Places that hold ``0.x.x.x`` are those that the
    prefix does not use: no gateway connects there.
    """
    places = [bits & 0xFFFFFFFF]
    for high_bits in (16, 8, 0):  # those before octet 8, which is skipped: prefixes of 48, 56 and 64 bits
        low_bits = 32 - high_bits
        high = bits >> 64 & ((1 << high_bits) - 1)
        low = bits >> (56 - low_bits) & ((1 << low_bits) - 1)
        places.append(high << low_bits | low)
    return (found for found in map(IPv4Address, places) if found not in _THIS_NETWORK)


_LOOPBACK_IPV4: Final = IPv4Address("127.0.0.1")
_LOOPBACK_IPV6: Final = IPv6Address("::1")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_ENDS_IN_IPV4: Final = tuple(map(IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
"""IPv4-compatible, IPv4-translated, NAT64."""
_NAT64_LOCAL: Final = IPv6Network("64:ff9b:1::/48")
_6TO4: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")
_THIS_NETWORK: Final = IPv4Network("0.0.0.0/8")
_ISATAP: Final = 0x00005EFE

_LINK_LOCAL: Final = "link-local addresses, where clouds keep their metadata services"
_METADATA: Final = "a cloud's metadata service"
_NEVER: Final = (
    ("169.254.0.0/16", _LINK_LOCAL),
    ("fe80::/10", _LINK_LOCAL),
    ("100.100.100.200/32", _METADATA),  # Alibaba Cloud
    ("168.63.129.16/32", _METADATA),  # Azure
    ("192.0.0.192/32", _METADATA),  # Oracle Cloud, of old
    ("fd00:ec2::/32", _METADATA),  # AWS
    ("fd20:ce::254/128", _METADATA),  # Google Cloud
    ("fd00:42::42/128", _METADATA),  # Scaleway
    ("fd00:c1::a9fe:a9fe/128", _METADATA),  # Oracle Cloud
)
"""What no endpoint may be unless the operator names it."""

_PRIVATE: Final = "private addresses"
_DOCUMENTATION: Final = "addresses for documentation"
_NOT_PUBLIC: Final = (
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", _PRIVATE),
    ("100.64.0.0/10", "addresses shared behind a carrier's NAT"),
    ("127.0.0.0/8", "loopback"),
    ("172.16.0.0/12", _PRIVATE),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", _DOCUMENTATION),
    ("192.88.99.0/24", "relays of 6to4"),
    ("192.168.0.0/16", _PRIVATE),
    ("198.18.0.0/15", "benchmarks"),
    ("198.51.100.0/24", _DOCUMENTATION),
    ("203.0.113.0/24", _DOCUMENTATION),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved addresses"),
    ("255.255.255.255/32", "broadcast"),
    ("::/128", "this host"),
    ("::1/128", "loopback"),
    ("64:ff9b:1::/48", "a network's own gateway to IPv4"),
    ("100::/64", "addresses that discard"),
    ("2001::/23", "protocol assignments, Teredo among them"),
    ("2001:db8::/32", _DOCUMENTATION),
    ("2002::/16", "6to4"),
    ("3fff::/20", _DOCUMENTATION),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", _PRIVATE),
    ("fec0::/10", "site-local addresses"),
    ("ff00::/8", "multicast"),
)
"""What an endpoint that the operator did not write down may not be, besides."""
