"""All that is used of aiortc and aioice beyond what they call public, in one place.

aiortc has ICE, DTLS, SRTP and SCTP, and decodes media. A forwarder wants the first four and must not decode, so that
its peer connection is of no use here and its transports are put together anew: SRTP packets are taken as they come out
of the decryption, and go in again as bytes. What is touched for that is listed below; the version is pinned, and a test
names each part, so that an upgrade that moves one is noticed there first.

``RTCDtlsTransport``: ``_handle_rtp_data``, ``_handle_rtcp_data``, ``_set_role``, ``_tx_srtp``.
``aioice.Connection``: ``_local_candidates``, ``_local_candidates_start``, ``_local_candidates_end``, ``_nominated``.
What ``RTCDtlsTransport`` asks of its ICE transport: ``role``, ``_recv``, ``_send``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, cast

import aioice
from aioice.ice import get_host_addresses
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceTransport
from pylibsrtp import Error as SrtpError

LOOPBACK: Final = "127.0.0.1"
WAITING_BYTES_MAX: Final = 1_000_000
"""How much waits in a socket that takes nothing; what comes after is dropped, as on any full network."""

_log: Final = logging.getLogger("roombell.rooms.media")


def host_addresses() -> tuple[str, ...]:
    """The machine's IPv4 addresses, the loopback first: aioice leaves that out, and it is what a test runs on."""
    return (LOOPBACK, *(address for address in get_host_addresses(use_ipv4=True, use_ipv6=False)))


class IceConnection(aioice.Connection):
    """A connection that listens on the addresses it is given, and asks no STUN server for more."""

    def __init__(self, addresses: Sequence[str], *, is_controlling: bool) -> None:
        super().__init__(ice_controlling=is_controlling, use_ipv6=False)
        self._addresses = list(addresses)

    async def gather_candidates(self) -> None:
        """:raises OSError: none of the addresses can be listened on."""
        self._local_candidates_start = True
        self._local_candidates += await self.get_component_candidates(component=1, addresses=self._addresses)
        self._local_candidates_end = True
        if not self._local_candidates:
            raise OSError(f"No UDP port can be opened on {', '.join(self._addresses)}.")

    def send_now(self, data: bytes) -> None:
        """Sends without waiting; drops where nothing is connected or the socket takes no more."""
        pair = self._nominated.get(1)
        if pair is None:
            return
        socket = pair.protocol.transport
        # Both asyncio's and uvloop's transports tell what waits in them; the abstract class only forgot to say so.
        waiting = cast("asyncio.WriteTransport", socket).get_write_buffer_size()
        if not socket.is_closing() and waiting < WAITING_BYTES_MAX:
            socket.sendto(data, pair.remote_addr)


class Ice:
    """What the DTLS transport stands on: an ICE connection that a restart replaces by another."""

    def __init__(self, connection: IceConnection) -> None:
        self.connection = connection

    @property
    def role(self) -> str:
        return "controlling" if self.connection.ice_controlling else "controlled"

    async def replace(self, connection: IceConnection) -> None:
        """Goes on with ``connection``, which is up, and closes the old one."""
        old, self.connection = self.connection, connection
        await old.close()

    async def _recv(self) -> bytes:
        while True:
            connection = self.connection
            try:
                return await connection.recv()
            except ConnectionError:
                if connection is self.connection:
                    raise

    async def _send(self, data: bytes) -> None:
        self.connection.send_now(data)


class Dtls(RTCDtlsTransport):
    """DTLS and SRTP; media comes out and goes in as packets' bytes.

    :param on_rtp: called with each RTP packet, decrypted.
    :param on_rtcp: the same for RTCP.
    """

    def __init__(
        self,
        ice: Ice,
        certificate: RTCCertificate,
        on_rtp: Callable[[bytes], None],
        on_rtcp: Callable[[bytes], None],
    ) -> None:
        super().__init__(cast("RTCIceTransport", ice), [certificate])
        self._ice = ice
        self._on_rtp = on_rtp
        self._on_rtcp = on_rtcp

    def use_role(self, role: str) -> None:
        """``client`` begins the handshake, ``server`` waits for it."""
        self._set_role(role)

    def send_rtp(self, packet: bytes) -> None:
        """Encrypts and sends, without waiting; drops while the transport is not up."""
        if self.state == "connected":
            # libsrtp refuses what is too old for its window; that packet is late beyond use.
            with suppress(SrtpError):
                self._ice.connection.send_now(self._tx_srtp.protect(packet))

    def send_rtcp(self, packet: bytes) -> None:
        """The same for RTCP."""
        if self.state == "connected":
            with suppress(SrtpError):
                self._ice.connection.send_now(self._tx_srtp.protect_rtcp(packet))

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        del arrival_time_ms
        try:
            self._on_rtp(data)
        except Exception:  # noqa: BLE001 - raised, it would end the transport
            _log.exception("An RTP packet of %d bytes could not be handled.", len(data))

    async def _handle_rtcp_data(self, data: bytes) -> None:
        try:
            self._on_rtcp(data)
        except Exception:  # noqa: BLE001 - the same
            _log.exception("An RTCP packet of %d bytes could not be handled.", len(data))


async def connect(connection: IceConnection, timeout_s: float) -> None:
    """Waits until a pair of addresses works.

    :raises ConnectionError: none did, in time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            await connection.connect()
    except TimeoutError as error:
        raise ConnectionError(f"No address could be reached within {timeout_s:g} s.") from error
