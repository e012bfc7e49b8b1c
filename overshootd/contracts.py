"""What the rooms hand to each other. No room imports a sibling: they all meet here.

Cameras are blocking and belong to one thread each; everything else runs in the event loop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol


class Log(Protocol):
    """A structured logger: an event in words, its context as keywords. Calls are safe in the event loop and in
    threads."""

    def bind(self, **context: Any) -> Log: ...

    def debug(self, event: str, **context: Any) -> Any: ...

    def info(self, event: str, **context: Any) -> Any: ...

    def warning(self, event: str, **context: Any) -> Any: ...

    def error(self, event: str, **context: Any) -> Any: ...


class PixelFormat(StrEnum):
    """Layouts that the publishers take. Planes are tightly packed, one after the other, no padding."""

    I420 = "i420"
    NV12 = "nv12"
    RGB24 = "rgb24"


@dataclass(frozen=True, slots=True)
class Picture:
    """One raw frame. `captured_ns` is `time.monotonic_ns()` at capture."""

    data: bytes | bytearray | memoryview
    width: int
    height: int
    format: PixelFormat
    captured_ns: int


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One complete H.264 access unit in Annex B form; SPS and PPS precede every IDR (`keyframe`). Between an encoder of
    our own and a publisher it may be a frame of the plan's codec instead.

    Access units depend on each other: dropping one spoils all up to the next keyframe.
    """

    data: bytes
    width: int
    height: int
    keyframe: bool
    captured_ns: int


Media = Picture | AccessUnit


@dataclass(frozen=True, slots=True)
class CaptureNeed:
    """The most that any of a camera's streams needs: frames per second and pixels."""

    fps: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class CaptureFormat:
    """What the camera gives: frames per second (the nominal rate), pixels, and whether as access units.

    `keyframe_seconds` is the time from one keyframe of an encoded camera to the next, as measured or set; None when it
    is not known. `what` says in words what is behind it, for the log: "MJPEG, decoded where it is published".
    `inter_coded`: frames refer to each other, so that pictures too have to wait for a keyframe.
    """

    fps: float
    width: int
    height: int
    encoded: bool = False
    keyframe_seconds: float | None = None
    what: str = ""
    inter_coded: bool = False


class Sample(Protocol):
    """A frame that nobody has paid for yet. Valid until the camera's next `read`."""

    @property
    def captured_ns(self) -> int:
        """`time.monotonic_ns()` at capture; never less than that of the sample before."""

    @property
    def access_unit(self) -> AccessUnit | None:
        """The frame as the camera encoded it, or None from a camera that does not (`CaptureFormat.encoded`)."""

    def picture(self, width: int, height: int) -> Picture:
        """Decode, convert and scale to this even size. Called only for frames that will be published.

        An encoded camera can do this too, for streams that must see pixels (masks) or when encoding anew is cheaper.
        Upright: `rotate` and `hflip` of the configuration have been applied. Masks and crop have not: those are the
        streams' own (capture/privacy.py).
        Raises FrameSpoiled when this frame cannot be shown and the next may be, CameraLost when none will.
        """


class Camera(Protocol):
    """A source of frames. One thread opens, reads and closes it; other threads call only `feedback`, `abort`."""

    def open(self, need: CaptureNeed) -> CaptureFormat:
        """Start capture as near above `need` as the camera offers. Called once.

        Raises CameraLost (retried with backoff) or Permanent (no such format, bad path: needs another configuration).
        """

    def read(self, timeout: float) -> Sample | None:
        """The next frame, or None when there was none within `timeout` seconds. Never blocks longer.

        Raises CameraLost, or CameraEnded when it came to its end as it should.
        """

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        """The receiver's wishes for an encoder: IDR now, rate, frame rate. Thread-safe. Raw cameras ignore them."""

    def abort(self) -> None:
        """The owner gives up: `open` and `read` shall raise CameraLost soon, wherever that can be had, for `close` to
        come. Thread-safe, at any time, idempotent; never blocks. A camera that leaves nothing behind may ignore it."""

    def close(self) -> None:
        """Free the device. Idempotent, and right after a failed `open` too."""


class CameraState(StrEnum):
    """What a camera is doing. `ended` and `failed` are final; `lost` is retried for ever."""

    IDLE = "idle"  # nobody needs it, so it is closed
    OPENING = "opening"
    LIVE = "live"
    LOST = "lost"
    ENDED = "ended"
    FAILED = "failed"


Due = Callable[[int], bool]
"""Asked once for every frame, with its `captured_ns`: will this consumer publish it? Called in the camera's thread."""


class Wish(NamedTuple):
    """What a receiver wishes of an encoder: an IDR now, kilobits per second, frames per second (None: no word)."""

    keyframe: bool = False
    kbps: int | None = None
    fps: float | None = None


class Subscription(Protocol):
    """One stream's view of a camera: its latest due picture, or every access unit.

    First `ready`, which tells what the camera gives; then `start` or `start_encoded`, which may be called again at any
    time and stand through a loss; then `next` for ever. After CameraLost, `ready` waits until the camera is back.
    """

    async def ready(self) -> CaptureFormat:
        """Wait until the camera gives frames. Raises CameraEnded or Permanent; a lost camera is waited for."""

    def start(self, due: Due, width: int, height: int) -> None:
        """From now on `next` gives the newest frame that is `due`, as a picture of this even size."""

    def start_encoded(self, due: Due | None = None) -> None:
        """From now on `next` gives all access units, beginning with a keyframe; with `due`, only due keyframes.

        For encoded cameras only, and never where masks or a crop must act: raises ValueError then.
        """

    def stop(self) -> None:
        """From now on nothing is drawn, decoded or kept for this stream; the camera stays open."""

    async def next(self) -> Media:
        """The newest due picture not yet taken, or the next access unit.

        Raises CameraLost as long as the camera is lost, CameraEnded or Permanent.
        """

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        """Passed on to the camera's encoder, if it has one."""

    def close(self) -> None:
        """Unsubscribe. Idempotent. A camera without subscriptions is closed."""


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


@dataclass(frozen=True, slots=True)
class Inference:
    """One result as it arrived: `received_at` in seconds since the epoch, the API's object verbatim in `api`."""

    received_at: float
    api: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """What a stream asks of the API, in the API's own words (v0.2.yaml, StreamCreateRequest)."""

    source: Mapping[str, Any]
    mode: str
    processing: Mapping[str, Any]
    inference: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LeaseNow:
    """Monotonic times in seconds: when the last keepalive that succeeded was sent, until when the stream surely lives
    (None: not known), and when the newest token came (None: the API gives none). `state` is what the API said of the
    video then: pending, active, idle, or empty."""

    sent: float
    until: float | None
    token: float | None = None
    state: str = ""


class Session(Protocol):
    """A stream that exists at the API. Both dialects give the same (design decision 7).

    v0.2 pushes results on a WebSocket; v1beta asks for each inference. The caller cannot tell.
    """

    @property
    def stream_id(self) -> str: ...

    @property
    def target(self) -> Target | None:
        """Where to publish, with the newest token; None for a room of the user's own."""

    @property
    def lease(self) -> LeaseNow:
        """What is known of the lease."""

    async def keep_lease(self) -> None:
        """Return never; renew the lease in time. Raises StreamGone, Refused or Permanent."""

    async def verify(self) -> None:
        """Ask now whether the stream still lives, as long as its lease may. Raises as `keep_lease` does."""

    def path_changed(self) -> None:
        """The kernel says that the way to the API is another: give up what hangs on the old one, ask for the lease and
        open the results socket anew, now."""

    def doubt_path(self) -> None:
        """The same, on a guess: this session takes fresh connections, and nobody else's request is given up."""

    def results(self) -> AsyncGenerator[Inference, None]:
        """Every result, reconnecting to the same stream as often as it takes. Raises as `keep_lease` does."""

    async def set_prompt(self, prompt: str) -> None: ...

    async def info(self) -> Mapping[str, Any]: ...

    async def close(self) -> bool:
        """DELETE: ends billing. Bounded by a few seconds; whether that is settled. A failure is logged."""


class Api(Protocol):
    """One dialect of the API."""

    async def create(self, spec: StreamSpec) -> Session:
        """A new stream. Raises Transient, Refused or Permanent as the failure table says."""

    async def resume(self, stream_id: str, url: str) -> Session:
        """A stream that an earlier process created, with its room's URL: alive, its lease renewed, its token fresh.

        Raises StreamGone when it lives no more, and as `create` does.
        """

    async def delete(self, stream_id: str) -> bool:
        """End a stray of ours; whether that is settled (deleted, gone, or not ours to delete). Never raises."""


class Leftovers(Protocol):
    """The streams of ours that exist at the API, over restarts of this process too."""

    def kept(self, stream: str) -> tuple[str, str] | None:
        """The id and the room's URL of the one that an earlier process left for this stream to resume."""

    async def cleared(self) -> None:
        """Wait, but not for ever, until strays are deleted: a key has five streams, ghosts included."""

    async def created(self, stream: str, session: Session, transport: str) -> None:
        """It exists: remembered, in case this process dies."""

    async def ended(self, stream: str, stream_id: str, *, settled: bool) -> None:
        """It is over. Unless that is `settled` at the API, it is a stray from now on."""


class Paths(Protocol):
    """What the kernel says of the ways to our peers."""

    @property
    def changes(self) -> int:
        """How often the route or the source address towards a peer has changed so far."""

    async def changed(self, since: int) -> int:
        """Wait until there were more changes than `since`; how many there are then."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the record contract (design.md, "The record") without what the spool adds (`seq`, `uid`)."""

    type: str
    stream: str
    body: Mapping[str, Any]


class Spool(Protocol):
    """Where records wait for their sinks (design decision 5)."""

    async def append(self, record: Record) -> int:
        """Store it; when this returns, the record is with the kernel. Returns its `seq`. Raises SpoolError."""


class Sink(Protocol):
    """Where one stream's records go. Delivery is at least once; `uid` is for de-duplication."""

    @property
    def name(self) -> str:
        """What tells this sink from the stream's others, over restarts too: its cursor in the spool is kept under
        it."""

    async def open(self) -> None:
        """Find out early whether it can work; `deliver` tries again all the same.

        Raises ConfigError when a person must act; what may pass by itself, `deliver` will meet.
        """

    async def deliver(self, lines: list[bytes]) -> None:
        """Write these records (one JSON object each, no newline), in order, and return when they are the sink's.

        Raises Transient: the same lines come again after a backoff.
        """

    async def sync(self) -> None:
        """Return when what was delivered survives a power cut; only then does the spool forget it.

        Raises Transient: all that was delivered since the last `sync` comes again.
        """

    async def close(self) -> None: ...
