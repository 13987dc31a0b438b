"""Every private part of aiortc and aioice that is used. Where one of these fails after an upgrade, look there first."""

from __future__ import annotations

import inspect
from importlib.metadata import requires, version

import aioice
from aioice.ice import get_host_addresses
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport, RTCSctpTransport

from roombell.rooms.media.aiortc_private import LOOPBACK, IceConnection, host_addresses


def test_the_version_that_the_parts_belong_to_is_pinned() -> None:
    pins = [line for line in requires("roombell") or [] if line.startswith("aiortc")]
    assert pins
    assert all(line.startswith(f"aiortc=={version('aiortc')};") for line in pins)


def test_the_methods_that_are_overridden_are_called_as_before() -> None:
    assert list(inspect.signature(RTCDtlsTransport._handle_rtp_data).parameters) == ["self", "data", "arrival_time_ms"]
    assert list(inspect.signature(RTCDtlsTransport._handle_rtcp_data).parameters) == ["self", "data"]
    assert list(inspect.signature(RTCDtlsTransport._set_role).parameters) == ["self", "role"]
    source = inspect.getsource(RTCDtlsTransport)
    assert "await self._handle_rtp_data(data, arrival_time_ms=arrival_time_ms)" in source
    assert "await self._handle_rtcp_data(data)" in source
    assert "self._tx_srtp = Session(tx_policy)" in source
    assert "allow_repeat_tx = True" in source, "a packet is sent once more as it was"


def test_a_dtls_transport_asks_no_more_of_its_ice_transport() -> None:
    source = inspect.getsource(RTCDtlsTransport)
    asked = {word.split("(")[0].split()[0].rstrip(",:") for word in source.split("self.transport.")[1:]}
    assert asked <= {"role", "_recv", "_send"}


async def test_an_ice_connection_has_the_parts_that_are_set_by_hand() -> None:
    connection = aioice.Connection(ice_controlling=True)
    assert (connection._local_candidates, connection._nominated) == ([], {})
    assert (connection._local_candidates_start, connection._local_candidates_end) == (False, False)
    assert "addresses" in inspect.signature(connection.get_component_candidates).parameters
    await connection.close()


async def test_a_dtls_transport_has_the_parts_that_are_read() -> None:
    transport = RTCDtlsTransport(RTCIceTransport(RTCIceGatherer(iceServers=[])), [RTCCertificate.generateCertificate()])
    assert transport._tx_srtp is None
    assert RTCSctpTransport(transport).is_server is False


async def test_the_loopback_is_listened_on_which_aioice_leaves_out() -> None:
    assert LOOPBACK not in get_host_addresses(use_ipv4=True, use_ipv6=False)
    assert host_addresses()[0] == LOOPBACK
    connection = IceConnection([LOOPBACK], is_controlling=False)
    await connection.gather_candidates()
    assert [candidate.host for candidate in connection.local_candidates] == [LOOPBACK]
    await connection.close()
