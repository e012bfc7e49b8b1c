"""Legacy streams: the client sends a complete SDP offer and gets a complete answer (api/README.md, v0.2 point 1)."""

from __future__ import annotations

from overshootd.simulator.media import Eye
from overshootd.simulator.peer import OfferError, Peer, host_address

__all__ = ["OfferAnswerer", "OfferError"]


class OfferAnswerer:
    """One peer connection per stream. `advertise`: the host or address to offer, None for all but loopback."""

    def __init__(self, advertise: str | None) -> None:
        self._advertise = advertise
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
        self._peers[stream_id] = peer
        return answer

    async def close(self, stream_id: str) -> None:
        """End the stream's connection. Idempotent."""
        if (peer := self._peers.pop(stream_id, None)) is not None:
            await peer.close()

    async def close_all(self) -> None:
        for stream_id in list(self._peers):
            await self.close(stream_id)
