"""Where video goes, and what takes it there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from overshootd.contracts.media import Media, Wish


@dataclass(frozen=True, slots=True)
class PublishTarget:
    """Where a publisher goes: a LiveKit URL and a token that lives some minutes (always ask for the newest)."""

    url: str
    token: str

    def __repr__(self) -> str:  # a token in a traceback or a log line is a leaked token
        return f"PublishTarget(url={self.url!r}, token=…)"


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server: one URL of it, and what it asks for (RFC 7064, RFC 7065)."""

    url: str
    username: str | None = None
    credential: str | None = None

    def __repr__(self) -> str:
        return f"IceServer(url={self.url!r}, username={self.username!r}, credential=…)"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a legacy stream was answered: the SDP, and ICE servers, which are for the next one (api/README.md, 1)."""

    sdp: str
    turn_servers: tuple[IceServer, ...] = ()


Target = PublishTarget | Answer
"""Where video goes, as the API said: a room, or the other end of a peer connection."""


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """What is published: frames per second, pixels (both even), bits per second at most, and the codec.

    `encoded`: what is pushed are access units, whose codec is then H.264. `replaceable`: pictures can be had instead,
    should the path take far less than those.
    """

    fps: float
    width: int
    height: int
    max_bitrate: int
    codec: str
    encoded: bool = False
    replaceable: bool = False


@dataclass(frozen=True, slots=True)
class PublishStats:
    """Totals since the join: frames encoded, bytes sent on the media path (all but STUN). `round_trip` in seconds."""

    frames_encoded: int = 0
    bytes_sent: int = 0
    round_trip: float | None = None


APART_SECONDS = 0.004
"""Between two access units that are pushed. Of 30 that came at once libwebrtc sent one, of 30 that came 1 ms apart all.
A run of them waits when the loop was late, and after each join."""


class Publisher(Protocol):
    """One joined room, or one peer connection, with one track."""

    async def source(self) -> Mapping[str, Any]:
        """Where the API shall take the video from, in its own words (v0.2.yaml, Source). Asked at most once, before
        the stream is created; a legacy offer gathers candidates first, which takes seconds.

        Raises Transient.
        """

    async def connect(self, target: Target | None, first: Callable[[], Awaitable[Media]]) -> None:
        """Join, ask for the `first` picture, and publish with that in the track; return once it was sent.

        It is asked for after the join, which may take many seconds. `target` is what the API named, None when it named
        nothing, as for a room of the user's own. Raises Transient, Permanent, and what `first` does.
        """

    @property
    def connected(self) -> bool:
        """Whether `rejoin` is worth a try: the library has not given up, nor begun something of its own."""

    async def rejoin(self) -> None:
        """The path has changed, or does not answer: begin anew on it in the same room, with the same track, and return
        once frames are answered for there.

        Raises Transient when this room cannot do that now, or did not in time: then it is of no more use.
        """

    def push(self, media: Media) -> Wish:
        """Hand over one frame, and learn what the receiver wishes of the camera's encoder. Never blocks.

        Access units come at least APART_SECONDS apart. Raises Transient when one is not of the plan's size.
        """

    async def watch(self) -> None:
        """Return never; raise Transient as soon as frames no longer arrive there, whatever the library says.

        Congested when the plan is `replaceable` and less than half of it arrives.
        """

    async def stats(self) -> PublishStats: ...

    async def close(self) -> None:
        """Leave the room. Bounded; a join under way is left to the owner of joins, never cancelled."""


class Publishers(Protocol):
    """Makes the publishers of one stream, by the transport that is in use now."""

    @property
    def transport(self) -> str:
        """native, webrtc or livekit."""

    @property
    def rejoins(self) -> bool:
        """Whether a publisher may follow another within one stream. Legacy streams end with their connection."""

    @property
    def keyframe_seconds(self) -> float:
        """How long the receiver may have to wait for a keyframe of a camera that sends them by itself alone."""

    async def hardware(self) -> bool:
        """Whether pictures can be encoded as H.264 by this machine's own encoder. Tried once, which takes seconds."""

    def __call__(self, plan: PublishPlan) -> Publisher: ...

    def notes(self) -> tuple[str, ...]:
        """What somebody should see to before it fails, in sentences."""

    def joined(self) -> None:
        """A publisher connected."""

    def not_joined(self) -> bool:
        """A publisher could not connect while the API says that the stream lives. Whether the transport is another
        from now on."""

    async def another(self) -> None:
        """Return when a better transport is due to be tried, by a new stream; else never."""
