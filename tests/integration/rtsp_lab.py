"""Network cameras on loopback: recordings with numbered pictures, and the servers that play them."""

from __future__ import annotations

import json
import select
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest

from overshootd.capture.rtsp import Learned, RtspCamera
from overshootd.config.cameras import RtspCamera as RtspConfig
from overshootd.config.secret import Secret
from overshootd.errors import CameraLost
from tests.camera_contract import NEED
from tests.videos import H264, H264_B_FRAMES, MJPEG, Codec, marked

SCRIPT = Path(__file__).with_name("rtsp_server.py")
FPS = 20
BOUND = 15.0
SIZE = (320, 240)
H265: Codec = ("libx265", "yuv420p", {"preset": "ultrafast", "x265-params": "keyint=10:bframes=0:log-level=none"})

Unit = tuple[int, bytes]


def encode(
    codec: Codec, *, frames: int = 400, size: tuple[int, int] = SIZE, known_before: bool = False, first: int = 0
) -> list[Unit]:
    """Frames that bear the numbers from `first` on, each with its time in nanoseconds, in coding order.

    `known_before`: H.264's parameter sets stand before the first keyframe only.
    """
    name, pixels, options = codec
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt, context.options = *size, pixels, options
    context.time_base, context.framerate = Fraction(1, FPS), Fraction(FPS)
    if known_before:
        context.flags |= av.codec.context.Flags.global_header
    packets = []
    for number in range(first, first + frames):
        frame = av.VideoFrame.from_ndarray(marked(number, *size), "gray").reformat(format=pixels)
        frame.pts, frame.time_base = number - first, context.time_base
        packets += context.encode(frame)
    packets += context.encode(None)
    units = [(round(float((packet.pts or 0) * context.time_base) * 1e9), bytes(packet)) for packet in packets]
    if known_before:
        units[0] = (units[0][0], bytes(context.extradata or b"") + units[0][1])
    return units


def joined(*parts: Sequence[Unit]) -> list[Unit]:
    """One after the other, in time too."""
    units: list[Unit] = []
    for part in parts:
        begin = max((time for time, _ in units), default=-(10**9) // FPS) + 10**9 // FPS
        units += [(begin + time, data) for time, data in part]
    return units


def save(path: Path, units: Sequence[Unit]) -> Path:
    """In the form that rtsp_server.py reads."""
    path.write_bytes(b"".join(struct.pack(">QI", time, len(data)) + data for time, data in units))
    return path


def recordings(folder: Path) -> dict[str, dict[str, object]]:
    """What an RTSP server shall play, by the path of its URL."""
    b_frames, plain = encode(H264_B_FRAMES, frames=40), encode(H264, frames=40)
    units = {
        "/h264": encode(H264),
        "/sets-once": encode(H264, known_before=True),
        "/b-frames": encode(H264_B_FRAMES),
        "/h265": encode(H265),
        "/b-frames-later": joined(plain, b_frames),
        "/grows": joined(plain, encode(H264, frames=40, size=(640, 360))),
        "/h265-grows": joined(encode(H265, frames=40), encode(H265, frames=40, size=(640, 360))),
        "/jpeg": encode(MJPEG),
    }
    return {path: _mount(path, save(folder / path[1:], recorded)) for path, recorded in units.items()}


def _mount(path: str, file: Path) -> dict[str, object]:
    codec = next((codec for codec in ("h265", "jpeg") if codec in path), "h264")
    return {"codec": codec, "file": str(file), "width": SIZE[0], "height": SIZE[1]}


class RtspServer:
    """GStreamer's, in a process of its own. `setting` is what rtsp_server.py takes."""

    def __init__(self, **setting: Any) -> None:
        self._setting = setting
        self._process: subprocess.Popen[str] | None = None
        self.port = int(setting.get("port", 0))

    def start(self) -> None:
        """On the same port again, when it has had one."""
        command = ["/usr/bin/python3", str(SCRIPT), json.dumps(self._setting | {"port": self.port})]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], 60)[0], "the RTSP server does not start"
        line = self._process.stdout.readline()
        assert line.startswith("ready"), "the RTSP server has not started: is gir1.2-gst-rtsp-server-1.0 installed?"
        self.port = int(line.split()[1])

    def url(self, path: str, login: str = "") -> str:
        return f"rtsp://{login}127.0.0.1:{self.port}{path}"

    def stall(self) -> None:
        """It does nothing more, and its connections stay."""
        self._running.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """As a camera without power, but that the kernel says goodbye for it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    @property
    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "start it first"
        return self._process


@contextmanager
def rtsp_server(**setting: Any) -> Iterator[RtspServer]:
    server = RtspServer(**setting)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def http_camera(
    units: Sequence[bytes], content_type: str = "multipart/x-mixed-replace; boundary=frame"
) -> Iterator[str]:
    """A camera that sends JPEG pictures over HTTP at FPS, from the first one for each client; gives its URL."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            began = time.monotonic()
            with suppress(OSError):  # the client has gone
                for number, data in enumerate(units):
                    ended.wait(began + number / FPS - time.monotonic())
                    if ended.is_set():
                        return
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data + b"\r\n")

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with serving(Handler) as url:
        try:
            yield url
        finally:
            ended.set()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """An HTTP server on loopback; gives its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/video"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


class Journal:
    """A `Log` that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def bind(self, **context: Any) -> Journal:
        return self

    def debug(self, event: str, **context: Any) -> None:
        self.lines.append(f"{event} {context}")

    info = warning = error = debug


@contextmanager
def camera_at(
    url: str, *, password: str | None = None, learned: Learned | None = None, **config: Any
) -> Iterator[RtspCamera]:
    secret = Secret(password) if password is not None else None
    camera = RtspCamera(RtspConfig(type="rtsp", url=url, **config), secret, Journal(), learned)
    try:
        yield camera
    finally:
        camera.close()
        assert ended("network video"), "a closed camera leaves no thread behind"


def ended(name: str) -> bool:
    """Whether the threads of this name end."""
    for thread in [thread for thread in threading.enumerate() if thread.name == name]:
        thread.join(BOUND)
    return not any(thread.name == name for thread in threading.enumerate())


def refused(url: str, **config: Any) -> str:
    """Why the camera cannot be opened."""
    with camera_at(url, **config) as camera, pytest.raises(CameraLost) as failure:
        camera.open(NEED)
    return str(failure.value)


def lost(camera: RtspCamera) -> tuple[str, float]:
    """Why it is lost, and after how many seconds; fails when a `read` takes longer than it may."""
    began = time.monotonic()
    while time.monotonic() - began < BOUND:
        asked = time.monotonic()
        try:
            camera.read(0.1)
        except CameraLost as error:
            return str(error), time.monotonic() - began
        assert time.monotonic() - asked < 1.0
    raise AssertionError("it goes on")
