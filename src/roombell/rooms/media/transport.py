"""One transport of a participant: ICE, DTLS, and data channels over SCTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from aioice import Candidate
from aiortc import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCSctpTransport
from aiortc.rtcdatachannel import RTCDataChannel
from aiortc.rtcsctptransport import RTCSctpCapabilities

from roombell.rooms.media.aiortc_private import Dtls, Ice, IceConnection, connect
from roombell.rooms.media.negotiation import MESSAGE_BYTES_MAX, SCTP_PORT, LocalEnd, RemoteEnd

CONNECT_TIMEOUT_S: Final = 20.0
"""How long ICE and DTLS may take; LiveKit's clients give up after 15 s."""

_CANDIDATES_MAX: Final = 64
_PORT_MAX: Final = 65_535
_IP_VERSION: Final = 4
_log: Final = logging.getLogger("roombell.rooms.media")


class Transport:
    """Opens when the other end's parameters are known, and tells once how that went, and once that it is over.

    :param addresses: the addresses of this machine to listen on.
    :param on_rtp: called with each RTP packet.
    :param on_rtcp: called with each RTCP packet.
    :param on_state: called with ``connected``, and with ``failed`` when it never was or is no longer.
    :param on_channel: called with each data channel that the other end opens.
    """

    def __init__(
        self,
        certificate: RTCCertificate,
        addresses: Sequence[str],
        *,
        is_controlling: bool,
        on_rtp: Callable[[bytes], None],
        on_rtcp: Callable[[bytes], None],
        on_state: Callable[[str], None],
        on_channel: Callable[[RTCDataChannel], None],
    ) -> None:
        self._addresses = addresses
        self._certificate = certificate
        self._ice = Ice(IceConnection(addresses, is_controlling=is_controlling))
        self._next: IceConnection | None = None
        self._dtls = Dtls(self._ice, certificate, on_rtp, on_rtcp)
        self._dtls.on("statechange", self._on_dtls_state)
        self.sctp = RTCSctpTransport(self._dtls, SCTP_PORT)
        self.sctp.on("datachannel", on_channel)
        self._on_state = on_state
        self._state = "new"
        self._remote: RemoteEnd | None = None
        self._has_data = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> str:
        """``new``, ``connecting``, ``connected``, ``failed`` or ``closed``."""
        return self._state

    @property
    def setup(self) -> str:
        """Our part in the DTLS handshake, as an answer says it: we begin it unless the other end does."""
        return "passive" if self._remote is not None and self._remote.setup == "active" else "active"

    @property
    def local_end(self) -> LocalEnd:
        """After ``gather``."""
        connection = self._newest
        digest = next(mark for mark in self._certificate.getFingerprints() if mark.algorithm == "sha-256")
        candidates = tuple(candidate.to_sdp() for candidate in connection.local_candidates)
        mark = f"{digest.algorithm} {digest.value}"
        return LocalEnd(connection.local_username, connection.local_password, mark, candidates)

    async def gather(self) -> None:
        """Opens the sockets.

        :raises OSError: none could be opened, or it was closed meanwhile.
        """
        await self._ice.connection.gather_candidates()
        if self._state == "closed":
            await self._ice.connection.close()
            raise ConnectionAbortedError("The transport was closed while it opened its sockets.")

    async def use(self, remote: RemoteEnd, *, has_data: bool) -> None:
        """Takes the other end's parameters: begins to connect, or restarts ICE where they are others than before."""
        known, self._remote = self._remote, remote
        self._has_data = self._has_data or has_data
        if known is None:
            self._state = "connecting"
            _take_remote(self._ice.connection, remote)
            self._spawn(self._connect(remote))
        elif known.ufrag != remote.ufrag and self._state == "connected":
            await self._restart(remote)
        elif has_data and self._state == "connected":
            self._spawn(self._start_sctp())
        for candidate in remote.candidates:
            await self.add_candidate(candidate)

    async def add_candidate(self, text: str) -> None:
        """Takes one of the other end's addresses, as SDP tells of it; one that cannot be used is passed over.

        Names under ``.local`` are passed over too: who hides an address behind one sends its checks from there, and is
        answered.
        """
        candidate = _candidate(text)
        if candidate is None:
            return
        connection = self._newest
        known = connection.remote_candidates
        is_new = (candidate.host, candidate.port) not in {(one.host, one.port) for one in known}
        if is_new and self._state != "closed" and len(known) < _CANDIDATES_MAX:
            await connection.add_remote_candidate(candidate)

    def send_rtp(self, packet: bytes) -> None:
        self._dtls.send_rtp(packet)

    def send_rtcp(self, packet: bytes) -> None:
        self._dtls.send_rtcp(packet)

    async def close(self) -> None:
        """Ends it; the other end is told. Calling it twice is fine."""
        if self._state == "closed":
            return
        self._state = "closed"
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.sctp.stop()
        await self._dtls.stop()
        for connection in (self._ice.connection, self._next):
            if connection is not None:
                await connection.close()
        self.sctp.remove_all_listeners()
        self._dtls.remove_all_listeners()

    async def _connect(self, remote: RemoteEnd) -> None:
        marks = [RTCDtlsFingerprint(algorithm, value) for algorithm, value in remote.fingerprints]
        self._dtls.use_role("server" if self.setup == "passive" else "client")
        try:
            await connect(self._ice.connection, CONNECT_TIMEOUT_S)
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._dtls.start(RTCDtlsParameters(marks))
        except (ConnectionError, TimeoutError) as error:
            _log.info("A participant's transport did not come up: %s", error)
            self._fail()
            return
        if self._dtls.state != "connected":
            self._fail()
            return
        self._state = "connected"
        self._on_state("connected")
        if self._has_data:
            await self._start_sctp()

    async def _start_sctp(self) -> None:
        with suppress(ConnectionError):  # it went away meanwhile, which is told elsewhere
            await self.sctp.start(RTCSctpCapabilities(MESSAGE_BYTES_MAX), SCTP_PORT)

    async def _restart(self, remote: RemoteEnd) -> None:
        """A connection of its own for the new credentials; the old one carries everything until it is up."""
        connection = IceConnection(self._addresses, is_controlling=self._ice.connection.ice_controlling)
        _take_remote(connection, remote)
        await connection.gather_candidates()
        if self._state == "closed":
            await connection.close()
            return
        unused, self._next = self._next, connection
        if unused is not None:
            await unused.close()
        self._spawn(self._go_on_with(connection))

    async def _go_on_with(self, connection: IceConnection) -> None:
        try:
            await connect(connection, CONNECT_TIMEOUT_S)
        except ConnectionError as error:
            _log.info("A participant's transport was not restarted: %s", error)
            return
        if self._next is connection:
            self._next = None
            await self._ice.replace(connection)

    @property
    def _newest(self) -> IceConnection:
        return self._next or self._ice.connection

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_dtls_state(self) -> None:
        if self._dtls.state in ("closed", "failed") and self._state == "connected":
            self._fail()

    def _fail(self) -> None:
        if self._state not in ("failed", "closed"):
            self._state = "failed"
            self._on_state("failed")


def _candidate(text: str) -> Candidate | None:
    """The address as aioice takes it; None for what is none, and for what this server does not send to."""
    try:
        candidate = Candidate.from_sdp(text)
        address = ip_address(candidate.host)
    except ValueError:
        return None
    is_usable = candidate.transport.lower() == "udp" and address.version == _IP_VERSION
    return candidate if is_usable and 0 < candidate.port <= _PORT_MAX else None


def _take_remote(connection: IceConnection, remote: RemoteEnd) -> None:
    connection.remote_username, connection.remote_password = remote.ufrag, remote.password
