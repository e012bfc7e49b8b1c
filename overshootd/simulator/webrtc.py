"""Legacy streams: the client sends a complete SDP offer and gets a complete answer (api/README.md, v0.2 point 1)."""

from __future__ import annotations

from overshootd.simulator.media import Eye
from overshootd.simulator.peer import OfferError, Peer, host_address

__all__ = ["OfferAnswerer", "OfferError"]


_CONNECT_WITHIN = 30.0  # seconds; as long as a connection that was made may be silent (consent, RFC 7675)


class OfferAnswerer:
    """One peer connection per stream. A client that is not connected in time, or no longer, counts as having left.

    `advertise`: the host or address to offer, None for all but loopback. `connect_within`: seconds.
    """

    def __init__(self, advertise: str | None, connect_within: float = _CONNECT_WITHIN) -> None:
        self._advertise, self._connect_within = advertise, connect_within
        self._peers: dict[str, Peer] = {}

    async def answer(self, stream_id: str, sdp: str, eye: Eye) -> str:
        """A complete answer to `sdp`, candidates included; what arrives is shown to `eye`.

        Raises OfferError (a ValueError) when the offer cannot be answered, RuntimeError when `advertise` is not ours.
        """
        peer = Peer(eye, await host_address(self._advertise), eye.publisher_left)
        try:
            answer = await peer.answer(sdp)
        except BaseException:
            await peer.close()
            raise
        peer.demand_connection(self._connect_within)
        self._peers[stream_id] = peer
        return answer

    async def close(self, stream_id: str) -> None:
        """End the stream's connection. Idempotent."""
        if (peer := self._peers.pop(stream_id, None)) is not None:
            await peer.close()

    async def close_all(self) -> None:
        for stream_id in list(self._peers):
            await self.close(stream_id)
