"""Video from a network: the packets of whatever URL FFmpeg can read, from a thread of their own.

FFmpeg blocks as long as its timeouts let it, and its name resolution longer: whoever waits waits on a queue. Its log
stays silent, as PyAV leaves it: it would call Python from any thread, and repeats URLs and what logs in to them.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import av

from overshootd.config.secret import Secret
from overshootd.errors import CameraLost, Permanent
from overshootd.ffmpeg.errors import ENDED, FFMPEG_ERRORS, trouble
from overshootd.ffmpeg.inbox import Inbox, NetworkPacket

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

ANSWER_SECONDS = 5.0
"""For the conversation, once more for the first video, and then for every packet."""

CLOSE_SECONDS = 1.0
"""The thread has usually gone by then; where all is silent it ends after ANSWER_SECONDS, without anybody waiting."""

PROBE_SECONDS = 4.0
"""How much video FFmpeg may look at to learn what it is; less than ANSWER_SECONDS, or it would give up instead."""

MAX_FPS = 240.0
"""What FFmpeg says beyond is the clock that the video counts its time by."""

NO_TIMESTAMPS = 0x80
"""AVFMT_NOTIMESTAMPS (FFmpeg's avformat.h), of which PyAV's stubs make no number."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What FFmpeg says of the video. `width` and `height` are 0 and `fps` is None where it does not know.

    `codec` is the name of FFmpeg's decoder, `extradata` what that wants to know beforehand.
    """

    codec: str
    width: int
    height: int
    fps: float | None
    extradata: bytes


class NetworkVideo:
    """One connection. `open`, `read` and `close` are for one thread, and none blocks longer than it says."""

    def __init__(self, url: Secret, name: str, *, login: bool = False, transport: str = "tcp") -> None:
        """`url` with its `login`, if there is one, `name` without: errors begin with it. `transport`: tcp or udp for
        RTSP."""
        self._url, self._name, self._login, self._transport = url, name, login, transport
        self._inbox = Inbox()
        self._opened: Future[VideoInfo] = Future()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="network video", daemon=True)

    @property
    def dropped(self) -> int:
        """Packets that were not read in time."""
        return self._inbox.dropped

    def open(self, timeout: float) -> VideoInfo:
        """Connect, and learn what the video is. Raises CameraLost, Permanent."""
        self._thread.start()
        try:
            return self._opened.result(timeout)
        except TimeoutError:
            raise CameraLost(f"{self._name}: no answer within {timeout:g} s") from None

    def read(self, timeout: float) -> NetworkPacket | None:
        """The next packet of the video, or None when there was none within `timeout` seconds. Raises CameraLost."""
        return self._inbox.take(timeout)

    def close(self) -> None:
        """Idempotent; takes CLOSE_SECONDS at most."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            self._demux()
            error: Exception = CameraLost(f"{self._name}: {ENDED}")
        except Exception as unexpected:  # noqa: BLE001 - raised where it is read
            error = unexpected
        if not self._opened.done():
            self._opened.set_exception(error)
        self._inbox.fail(error)

    def _demux(self) -> None:
        with closing(self._connect()) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, av.VideoStream):
                raise CameraLost(f"{self._name}: it has no video")
            self._opened.set_result(_info(container, stream))
            pace = Pace() if _is_recorded(container) else None
            timed, last_ns = _is_timed(container), 0
            for packet in self._packets(container):
                if packet.stream_index != stream.index or not packet.size:  # the last is empty: PyAV's sign to flush
                    continue
                ticks = packet.dts if packet.dts is not None else packet.pts
                seconds = float(ticks * packet.time_base) if timed and ticks is not None else None
                if pace is not None and seconds is not None:
                    self._closed.wait(pace.ahead(seconds, time.monotonic()))
                last_ns = max(time.monotonic_ns(), last_ns + 1)
                self._inbox.put(NetworkPacket(bytes(packet), packet.is_keyframe, seconds, last_ns))

    def _connect(self) -> InputContainer:
        began = time.monotonic()
        try:
            # Tags in odd encodings are no reason to refuse a video.
            return av.open(
                self._url.reveal(),
                options=_options(self._name, self._transport),
                timeout=(ANSWER_SECONDS, ANSWER_SECONDS),
                metadata_errors="ignore",
            )
        except FFMPEG_ERRORS as error:
            refused = self._refused(error, time.monotonic() - began)
        # Not while the other is handled: that one holds the URL, and would be shown with this one.
        raise refused

    def _packets(self, container: InputContainer) -> Iterator[av.Packet[Stream]]:
        # All streams, or nobody would ask about the end while the sound goes on without the video.
        demuxer = container.demux()
        while not self._closed.is_set():
            packet = self._next(demuxer)
            if packet is None:
                return
            yield packet

    def _next(self, demuxer: Iterator[av.Packet[Stream]]) -> av.Packet[Stream] | None:
        began = time.monotonic()
        try:
            packet = next(demuxer, None)
        except FFMPEG_ERRORS as error:
            said = trouble(error, waited=time.monotonic() - began, limit=ANSWER_SECONDS)
        else:
            # After a timeout FFmpeg first gives what it had held back, and then waits as long again.
            if time.monotonic() - began < ANSWER_SECONDS:
                return packet
            said = trouble(TimeoutError(), waited=ANSWER_SECONDS, limit=ANSWER_SECONDS)
        raise CameraLost(f"{self._name}: {said}")

    def _refused(self, error: Exception, waited: float) -> CameraLost | Permanent:
        if isinstance(error, av.ProtocolNotFoundError):
            return Permanent(f"{self._name}: FFmpeg does not know this kind of URL")
        if isinstance(error, av.HTTPUnauthorizedError) and not self._login:
            return CameraLost(f"{self._name}: the camera wants a user name and a password")
        number = error.errno if isinstance(error, FFMPEG_ERRORS) else None
        if number == errno.EPROTONOSUPPORT:
            other = "udp" if self._transport == "tcp" else "tcp"
            return CameraLost(
                f"{self._name}: the camera sends nothing over {self._transport}; transport: {other} may work"
            )
        if number == errno.EIO and (unknown := _unknown_host(self._url.reveal())):
            return CameraLost(f"{self._name}: {unknown}")
        return CameraLost(f"{self._name}: {trouble(error, waited=waited, limit=ANSWER_SECONDS)}")


class Pace:
    """Keeps a video that lies ready as a whole from being read at once: it shall look as if it were happening. Pure."""

    LEAP = 10.0
    """Seconds that its times may be off before they are taken for a mistake, and the pace begins anew."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None  # on the video's clock, and on ours

    def ahead(self, seconds: float, now: float) -> float:
        """How long to wait for what is due at `seconds` of the video."""
        if self._began is not None:
            wait = (seconds - self._began[0]) - (now - self._began[1])
            if abs(wait) < self.LEAP:
                return max(wait, 0.0)
        self._began = seconds, now
        return 0.0


def _options(url: str, transport: str) -> dict[str, str]:
    """FFmpeg's options; times in microseconds. The timeouts of `av.open` do not act while it says goodbye, these do."""
    common = {"fpsprobesize": "0", "analyzeduration": str(round(PROBE_SECONDS * 1e6))}
    timeout = str(round(ANSWER_SECONDS * 1e6))
    if url.lower().startswith(("rtsp:", "rtsps:")):
        # Sound would cost a mobile uplink as much as some videos do.
        return {**common, "rtsp_transport": transport, "allowed_media_types": "video", "timeout": timeout}
    return {**common, "rw_timeout": timeout}


def _is_recorded(container: InputContainer) -> bool:
    """Whether its packets come as fast as one reads: files, and the segments of which HLS and DASH are made."""
    name = container.format.name
    return name in ("hls", "dash") or (name != "rtsp" and (container.duration or 0) > 0)


def _is_timed(container: InputContainer) -> bool:
    """Whether it says when its pictures are to be shown; where it does not, FFmpeg makes up 25 a second."""
    return not container.format.flags & NO_TIMESTAMPS


def _info(container: InputContainer, stream: av.VideoStream) -> VideoInfo:
    context = stream.codec_context
    aspect = float(stream.sample_aspect_ratio or 1)
    fps = float(stream.average_rate or 0) if _is_timed(container) else 0.0
    return VideoInfo(
        codec=context.name,
        width=round(context.width * aspect),
        height=context.height,
        fps=fps if 0 < fps <= MAX_FPS else None,
        extradata=bytes(context.extradata or b""),
    )


def _unknown_host(url: str) -> str | None:
    """FFmpeg tells a name that cannot be found as any error of input or output."""
    try:
        host = urlsplit(url).hostname
        if host:
            socket.getaddrinfo(host, None)
    except OSError as error:
        return f"the host {host} cannot be found ({error.strerror})"
    except ValueError:  # of urlsplit, and of what no host can be called
        return "its host has no name that can be"
    return None
