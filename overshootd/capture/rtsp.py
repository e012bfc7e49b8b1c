"""The `rtsp` camera: a network camera, or any other URL that FFmpeg can read.

H.264 is given as it comes, if receivers can show it. All else becomes pictures, as late as possible.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from overshootd.capture.address import LOGIN_LIMIT, Address, address
from overshootd.capture.program.framing import jpeg_size
from overshootd.capture.survey import Survey, Units
from overshootd.config.cameras import RtspCamera as RtspCameraConfig
from overshootd.config.secret import Secret
from overshootd.contracts import AccessUnit, CaptureFormat, CaptureNeed, Log, Picture, PixelFormat
from overshootd.errors import CameraLost, Permanent
from overshootd.ffmpeg.draw import Drawer
from overshootd.ffmpeg.inbox import NetworkPacket
from overshootd.ffmpeg.live import JpegDecoder, UnitDecoder
from overshootd.ffmpeg.network import NetworkVideo, VideoInfo

OPEN_SECONDS = 10.0
"""For the connection and the first keyframe. With the survey after it, it stays within the 15 s that the feed gives."""

NAMES = {"h264": "H.264", "hevc": "H.265", "mjpeg": "MJPEG", "vp8": "VP8", "vp9": "VP9", "mpeg4": "MPEG-4"}
"""What people call FFmpeg's decoders; others are known by the name in capitals."""


@dataclass(slots=True)
class Learned:
    """What one opening found out too late, for the next."""

    obstacle: str | None = None
    """Why it cannot be passed on, though it began as if it could."""


class Decoder(Protocol):
    """Pictures of what comes, made when they are asked for."""

    @property
    def size(self) -> tuple[int, int] | None: ...

    def add(self, data: bytes, keyframe: bool) -> None: ...

    def picture(self, width: int, height: int) -> memoryview: ...


class RtspCamera:
    """One connection to a camera; the feed opens another when it is lost."""

    def __init__(
        self, config: RtspCameraConfig, password: Secret | None, log: Log, learned: Learned | None = None
    ) -> None:
        """`learned` is shared by all instances for one camera."""
        self._config, self._password, self._log = config, password, log
        self._learned = learned or Learned()
        self._video: NetworkVideo | None = None
        self._name = "a network camera"
        self._units: Units | None = None
        self._decoder: Decoder | None = None
        self._waiting: deque[NetworkPacket] = deque()
        self._size: tuple[int, int] | None = None  # of the coded pictures
        self._encoded = False
        self._told = False

    def open(self, need: CaptureNeed) -> CaptureFormat:
        """Takes up to 13 s: OPEN_SECONDS, and what it takes to see how far keyframes are apart."""
        end = time.monotonic() + OPEN_SECONDS
        where = self._address()
        self._name = where.shown
        self._video = NetworkVideo(
            where.url, where.shown, login=where.login is not None, transport=self._config.transport
        )
        info = self._video.open(OPEN_SECONDS)
        self._units = Units(info.extradata) if info.codec == "h264" else None
        survey = self._survey(self._video, Survey(info.fps, self._units), need, end)
        self._waiting.extend(survey.kept)
        decoded = self._decoded(info)
        self._encoded = decoded is None
        self._decoder = _decoder(info, self._name, Drawer(rotate=self._config.rotate, hflip=self._config.hflip))
        width, height = self._shown_size(info)
        if not (width and height):
            raise CameraLost(f"{self._name}: no picture within {OPEN_SECONDS:g} s")
        name = NAMES.get(info.codec, info.codec.upper())
        return CaptureFormat(
            survey.fps,
            width,
            height,
            encoded=self._encoded,
            keyframe_seconds=survey.keyframe_seconds if self._encoded else None,
            what=f"{name}, {decoded or 'as the camera encodes it'}",
            inter_coded=info.codec != "mjpeg",
        )

    def read(self, timeout: float) -> NetworkSample | None:
        packet = self._waiting.popleft() if self._waiting else self._next(timeout)
        if packet is None:
            return None
        self._decoding.add(packet.data, packet.keyframe)
        return NetworkSample(self, packet.arrived_ns, self._access_unit(packet) if self._encoded else None)

    def draw(self, captured_ns: int, width: int, height: int) -> Picture:
        """The picture that `read` has come to. Raises FrameSpoiled, CameraLost."""
        picture = self._decoding.picture(width, height)
        self._check(self._decoding.size)
        return Picture(picture, width, height, PixelFormat.I420, captured_ns)

    def feedback(self, keyframe: bool, kbps: int | None, fps: float | None) -> None:
        """A network camera cannot be asked: RTSP has no words for it."""

    def abort(self) -> None:
        """The connection ends with the process."""

    def close(self) -> None:
        if self._video is not None:
            self._video.close()

    @property
    def _decoding(self) -> Decoder:
        assert self._decoder is not None, "open comes first"
        return self._decoder

    def _address(self) -> Address:
        where = address(self._config.url, self._config.username, self._password)
        if where.login is not None and len(where.login.reveal()) > LOGIN_LIMIT:
            raise Permanent(
                f"{where.shown}: user name and password are too long for FFmpeg, which takes {LOGIN_LIMIT} characters "
                "of both together, and three for each that a URL must encode"
            )
        return where

    def _survey(self, video: NetworkVideo, survey: Survey, need: CaptureNeed, end: float) -> Survey:
        while not survey.complete and (left := end - time.monotonic()) > 0:
            packet = video.read(left)
            if packet is None:
                break
            unknown = survey.first_ns is None
            survey.add(packet)
            if unknown and survey.first_ns is not None:
                end = time.monotonic() + survey.patience(need.fps)
        return survey

    def _decoded(self, info: VideoInfo) -> str | None:
        """Why it is decoded, if it is, in words for the log."""
        if info.codec == "mjpeg":
            return "decoded where it is published"
        if self._units is None:
            return "decoded: it cannot be passed on to WebRTC"
        if self._config.rotate or self._config.hflip:
            return "decoded: its pictures must be turned"
        obstacle = self._units.obstacle or self._learned.obstacle
        return obstacle and f"decoded: {obstacle}, so it cannot be passed on to WebRTC"

    def _shown_size(self, info: VideoInfo) -> tuple[int, int]:
        sps = self._units.sps if self._units is not None else None
        if sps is not None:
            self._check((sps.width, sps.height))
            if self._encoded or not info.width:
                return sps.width, sps.height
        return info.width, info.height

    def _next(self, timeout: float) -> NetworkPacket | None:
        assert self._video is not None, "open comes first"
        packet = self._video.read(timeout)
        if self._video.dropped and not self._told:
            self._told = True
            self._log.warning("a camera sends more than is taken, frames are left out", url=self._name)
        if packet is None or self._units is None:
            return packet
        packet = self._units.take(packet)
        if self._units.sps is not None:
            self._check((self._units.sps.width, self._units.sps.height))
        if self._encoded and (obstacle := self._units.obstacle):
            self._learned.obstacle = obstacle
            raise CameraLost(f"{self._name}: {obstacle}, which it had not before; it will be decoded")
        return packet

    def _check(self, size: tuple[int, int] | None) -> None:
        """Raises CameraLost when the size is another than before: whoever publishes must begin anew."""
        if self._size is not None and size is not None and size != self._size:
            was, now = (f"{width}x{height}" for width, height in (self._size, size))
            raise CameraLost(f"{self._name}: the picture's size changed from {was} to {now}")
        self._size = size or self._size

    def _access_unit(self, packet: NetworkPacket) -> AccessUnit:
        assert self._size is not None, "known before anything is passed on"
        assert self._units is not None, "nothing else is passed on"
        width, height = self._size
        return AccessUnit(packet.data, width, height, packet.keyframe and self._units.idrs, packet.arrived_ns)


@dataclass(frozen=True, slots=True)
class NetworkSample:
    """A packet that came, nothing decoded yet."""

    camera: RtspCamera
    captured_ns: int
    access_unit: AccessUnit | None

    def picture(self, width: int, height: int) -> Picture:
        return self.camera.draw(self.captured_ns, width, height)


class Jpegs:
    """Pictures that stand alone: the newest, decoded when asked."""

    def __init__(self, name: str, drawer: Drawer) -> None:
        self._name, self._jpeg = name, JpegDecoder(name, drawer)
        self._data = b""

    @property
    def size(self) -> tuple[int, int] | None:
        return jpeg_size(self._data)

    def add(self, data: bytes, keyframe: bool) -> None:
        self._data = data

    def picture(self, width: int, height: int) -> memoryview:
        return self._jpeg.picture(self._data, width, height)


def _decoder(info: VideoInfo, name: str, drawer: Drawer) -> Decoder:
    match info.codec:
        case "mjpeg":
            return Jpegs(name, drawer)
        case "h264":
            return UnitDecoder(name, drawer)  # what the extradata says stands before each keyframe
        case codec:
            return UnitDecoder(name, drawer, codec, info.extradata)
