"""A CSI camera in a process of its own, under the system's Python, which has the picamera2 that fits its libcamera.

    picamera2_child.py list                   one line of JSON for each camera, and another when more is known of it
    picamera2_child.py run PARAMETERS         video on standard output, until standard input ends

`run` writes one line of JSON, which says what the pipeline really gives, and then what the command camera reads:
pictures one after the other, or H.264 with a delimiter after each access unit. On standard input it takes lines of
JSON with wishes for the encoder. It ends with an exit code of sysexits.h, and says why in the last line on standard
error. Nothing of overshootd is imported here, and Python 3.9 must do.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import json
import os
import signal
import struct
import sys
import threading
import time
from typing import Any, NoReturn

NONE_SEEN, UNAVAILABLE, IN_USE, CONFIGURATION = 66, 69, 75, 78
"""Exit codes. 75 (EX_TEMPFAIL) stands for a camera that another process has, so that the parent asks which; so does 66
(EX_NOINPUT): some pipelines do not even show a camera that is in use."""

FORMATS = {"YUV420": "i420", "NV12": "nv12", "RGB888": "bgr24", "BGR888": "rgb24"}
"""libcamera's formats that are taken, and what lies in memory: its names of RGB read from the high byte down."""

ASKED = ("YUV420", "RGB888", "BGR888")
"""In this order. A pipeline gives another than it is asked for when it has to, and that may do as well."""

DELIMITER = b"\0\0\0\1\x09\xf0"
"""An access unit delimiter. Its beginning shows that the unit before it is complete, a whole frame earlier than the
next unit would."""

FIRST_SECONDS, SILENT_SECONDS = 10.0, 4.0
"""Without a frame for so long the camera hangs. The daemon waits for 5 s, and would not know more than that."""

V4L2_CID_MPEG_VIDEO_BITRATE = 0x009909CF
VIDIOC_S_CTRL = 0xC008561C


class Failure(Exception):
    """Ends this process with a code, and a sentence for a person."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Output:
    """The pipe to the daemon. Whatever else in this process prints to standard output reaches its log instead."""

    def __init__(self) -> None:
        self._fd = os.dup(1)
        os.dup2(2, 1)

    def line(self, value: Any) -> None:
        self.write(json.dumps(value).encode() + b"\n")

    def write(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except BrokenPipeError:
            os._exit(0)  # the daemon is gone


class Due:
    """Which frames are written: `fps` a second of a camera that gives more. Times are those of a clock in seconds."""

    def __init__(self, fps: float, camera_fps: float) -> None:
        self._period, self._early = 1 / fps, 0.5 / max(fps, camera_fps)
        self._next = 0.0

    def take(self, now: float) -> bool:
        if now < self._next - self._early:
            return False
        late = now - self._next
        self._next = self._next + self._period if late < self._period else now + self._period
        return True


def main(arguments: list[str]) -> None:
    """Never returns: what libcamera leaves behind at a proper end of Python may hang or crash."""
    code = UNAVAILABLE
    try:
        out = Output()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        if arguments == ["list"]:
            list_cameras(out)
        else:
            run(json.loads(arguments[1]), out)
        code = 0
    except SystemExit:
        code = 0
    except Failure as failure:
        code = failure.code
        sys.stderr.write(f"{failure}\n")
    except Exception as error:  # noqa: BLE001 - picamera2 raises whatever went wrong below it
        sys.stderr.write(f"picamera2: {reason(error)}\n")
    sys.stderr.flush()
    os._exit(code)


def imported() -> Any:
    """The class Picamera2. Raises Failure."""
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")
    again = "sudo apt install --reinstall python3-picamera2 python3-libcamera python3-numpy"
    try:
        import picamera2  # type: ignore[import-not-found]  # of the system's Python
    except ModuleNotFoundError as error:
        missing = "picamera2 is not installed: sudo apt install python3-picamera2"
        broken = f"picamera2 cannot be imported: {error}; {again}"
        raise Failure(UNAVAILABLE, missing if error.name == "picamera2" else broken) from error
    except Exception as error:  # a NumPy that does not fit raises ValueError, a library ImportError or OSError
        raise Failure(UNAVAILABLE, f"picamera2 cannot be imported: {reason(error)}; {again}") from error
    return picamera2.Picamera2


def reason(error: BaseException) -> str:
    """What lies at the bottom of it: picamera2 raises anew what libcamera said."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return f"{error}" or type(error).__name__


def list_cameras(out: Output) -> None:
    picamera2 = imported()
    infos = picamera2.global_camera_info()
    cameras = [
        {"number": number, "id": info["Id"], "model": info.get("Model", "")} for number, info in enumerate(infos)
    ]
    for camera in cameras:
        out.line(camera)
    for camera in cameras:
        if "/usb" not in camera["id"]:  # those are V4L2's, which knows more about them
            out.line(dict(camera, modes=modes(picamera2, camera["number"])))


def modes(picamera2: Any, number: int) -> list[Any]:
    """Width, height and highest rate of what the sensor can do; only an open camera tells."""
    try:
        camera = picamera2(number)
    except Exception as error:  # noqa: BLE001 - most likely another process has it
        sys.stderr.write(f"camera {number}: {reason(error)}\n")
        return []
    try:
        found = [(*mode["size"], mode.get("fps")) for mode in camera.sensor_modes if "size" in mode]
    except Exception:  # noqa: BLE001 - of sensors that are not Raspberry Pi's it expects controls that are not there
        found = []
    whole = camera.camera_properties.get("PixelArraySize")
    camera.close()
    return found or ([(*whole, None)] if whole else [])


def run(wanted: dict[str, Any], out: Output) -> None:
    """Until the daemon has enough. Raises Failure."""
    wishes = Wishes()
    threading.Thread(target=wishes.listen, daemon=True).start()
    picamera2 = imported()
    number, name = chosen(wanted["camera"], picamera2.global_camera_info())
    camera = opened(picamera2, number, name, tuning(picamera2, wanted["tuning"]))
    try:
        stream, turned = configured(camera, name, wanted)
        camera.set_controls(controls(wanted["controls"], camera.camera_controls))
        fps = set_rate(camera, wanted)
        header = {"width": stream["size"][0], "height": stream["size"][1], "turned": turned}
        if wanted["h264"] and stream["format"] == "YUV420":
            write_units(camera, name, wanted, fps, header, wishes, out)
        write_pictures(camera, name, stream, wanted["fps"], fps, header, out)
    except SystemExit:
        camera.close()  # of one that failed the kernel has to take care: it may hang
        raise


def chosen(wanted: Any, found: list[dict[str, Any]]) -> tuple[int, str]:
    """The camera's number, and what to call it. Raises Failure."""
    if not found:
        raise Failure(
            NONE_SEEN,
            "libcamera sees no camera; is its ribbon the right way round, and is there camera_auto_detect=1 or its "
            "dtoverlay in /boot/firmware/config.txt?",
        )
    for number, info in enumerate(found):
        if wanted in (number, str(number), info["Id"]):
            return number, f"camera {number} ({info.get('Model', info['Id'])})"
    offered = ", ".join(f"{number} ({info.get('Model', '?')}, {info['Id']})" for number, info in enumerate(found))
    # Not for good: a ribbon may have been loose when the machine started, and the numbers move up then.
    raise Failure(UNAVAILABLE, f"there is no camera {wanted}; there are: {offered}")


def tuning(picamera2: Any, name: str | None) -> Any:
    """What a tuning file says: a name that libcamera knows, or a path. Raises Failure."""
    if name is None:
        return None
    try:
        folder, base = os.path.split(name)
        return picamera2.load_tuning_file(base, dir=folder) if folder else picamera2.load_tuning_file(name)
    except (RuntimeError, OSError, ValueError) as error:
        raise Failure(CONFIGURATION, f"tuning file {name}: {error}") from error


def opened(picamera2: Any, number: int, name: str, tuned: Any) -> Any:
    """Raises Failure."""
    try:
        return picamera2(number, tuning=tuned)
    except Exception as error:
        why = reason(error)
        if "busy" in why.lower():
            raise Failure(IN_USE, f"{name} is in use") from error
        raise Failure(UNAVAILABLE, f"{name} cannot be opened: {why}") from error


def configured(camera: Any, name: str, wanted: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The main stream as the pipeline gives it, and whether that is upright. Raises Failure."""
    from libcamera import Transform  # type: ignore[import-not-found]

    turn = Transform(hflip=wanted["hflip"], vflip=wanted["vflip"])
    offered = []
    for asked in ASKED:
        main = {"format": asked, "size": (wanted["width"], wanted["height"])}
        try:
            camera.configure(camera.create_video_configuration(main=main, transform=turn))
        except RuntimeError as error:
            offered.append(reason(error))
            continue
        given = camera.camera_configuration()
        offered.append(given["main"]["format"])
        if given["main"]["format"] in FORMATS:
            turned = (given["transform"].hflip, given["transform"].vflip) == (turn.hflip, turn.vflip)
            if not turned:
                camera.configure(camera.create_video_configuration(main=main))
            return camera.camera_configuration()["main"], turned
    raise Failure(UNAVAILABLE, f"{name} gives neither YUV420 nor RGB: {', '.join(offered)}")


def controls(wanted: dict[str, Any], offered: dict[str, Any]) -> dict[str, Any]:
    """The values by name, as libcamera takes them. Raises Failure for what this camera does not have."""
    values = {}
    for name, value in wanted.items():
        if name not in offered:
            there = ", ".join(sorted(offered)) or "none"
            raise Failure(CONFIGURATION, f"this camera has no control {name}; there are: {there}")
        low, high = offered[name][:2]
        numbers = all(type(number) in (int, float) for number in (value, low, high)) and low < high
        if numbers and not low <= value <= high:
            raise Failure(CONFIGURATION, f"{name}: {value} is not within {low} to {high}")
        text = isinstance(value, str)
        values[name] = entry(name, value) if text else tuple(value) if isinstance(value, list) else value
    return values


def entry(name: str, text: str) -> Any:
    """An entry of a control's menu by its name, such as Continuous of AfMode. Raises Failure."""
    import libcamera

    for place in (libcamera.controls, libcamera.controls.draft):
        entries = getattr(getattr(place, name + "Enum", None), "__members__", {})
        if text in entries:
            return entries[text]
        if entries:
            raise Failure(CONFIGURATION, f"{name}: there is no {text}; there are: {', '.join(entries)}")
    raise Failure(CONFIGURATION, f"{name} takes no text, and so not {text}")


def set_rate(camera: Any, wanted: dict[str, Any]) -> float:
    """Frames per second that the sensor will give, as far as it lets itself be told."""
    limits = camera.camera_controls.get("FrameDurationLimits")
    if not limits or "FrameDurationLimits" in wanted["controls"]:
        return float(wanted["sensor_fps"])
    shortest, longest = limits[:2]
    microseconds = int(max(min(1e6 / wanted["sensor_fps"], longest), shortest))
    camera.set_controls({"FrameDurationLimits": (microseconds, microseconds)})
    return 1e6 / microseconds


def write_pictures(
    camera: Any, name: str, stream: dict[str, Any], wanted_fps: float, fps: float, header: dict[str, Any], out: Output
) -> NoReturn:
    """Bare pictures without padding, at the rate that is wanted. Raises Failure."""
    camera.start()
    due = None
    while True:
        request = captured(camera, name, FIRST_SECONDS if due is None else SILENT_SECONDS + 2 / fps)
        try:
            if due is None:
                fps = 1e6 / request.get_metadata().get("FrameDuration", 1e6 / fps)
                due = Due(wanted_fps, fps)
                out.line(dict(header, format=FORMATS[stream["format"]], fps=min(wanted_fps, fps)))
            if not due.take(time.monotonic()):
                continue
            data = request.make_buffer("main")
        finally:
            request.release()
        out.write(packed(memoryview(data), stream))


def captured(camera: Any, name: str, seconds: float) -> Any:
    try:
        return camera.capture_request(wait=seconds)
    except concurrent.futures.TimeoutError as error:
        raise Failure(UNAVAILABLE, f"{name} gave no frame for {seconds:g} s") from error


def packed(data: memoryview, stream: dict[str, Any]) -> Any:
    """The planes without what is between and behind their rows."""
    (width, height), stride = stream["size"], stream["stride"]
    luma, chroma = (width, height, stride), (width // 2, height // 2, stride // 2)
    planes = {
        "YUV420": (luma, chroma, chroma),
        "NV12": (luma, (width, height // 2, stride)),
    }.get(stream["format"], ((width * 3, height, stride),))
    if all(row == step for row, _, step in planes):
        return data[: sum(row * rows for row, rows, _ in planes)]
    rows, begin = [], 0
    for row, count, step in planes:
        rows += [data[begin + n * step : begin + n * step + row] for n in range(count)]
        begin += count * step
    return b"".join(rows)


def write_units(
    camera: Any, name: str, wanted: dict[str, Any], fps: float, header: dict[str, Any], wishes: Wishes, out: Output
) -> None:
    """H.264 of the board's encoder. Returns when that cannot be had, and raises Failure."""
    from picamera2 import encoders, outputs

    progress = threading.Event()

    class Units(outputs.Output):  # type: ignore[misc]
        def outputframe(self, frame: Any, *_: Any, **__: Any) -> None:
            out.write(bytes(frame) + DELIMITER)
            progress.set()

    every = max(int(fps / wanted["fps"] + 1e-6), 1)
    frames = max(int(fps / every * wanted["keyframe_seconds"] + 1e-6), 1)
    encoder = encoders.H264Encoder(bitrate=wanted["bitrate"], repeat=True, iperiod=frames)
    encoder.frame_skip_count = every
    try:
        camera.start_encoder(encoder, Units())
    except Exception as error:  # noqa: BLE001
        sys.stderr.write(f"the encoder cannot be had, so it goes without: {reason(error)}\n")
        return
    out.line(dict(header, format="h264", fps=fps / every, keyframe_seconds=frames * every / fps))
    wishes.encoder = encoder
    camera.start()
    seconds = FIRST_SECONDS
    while progress.wait(seconds):
        progress.clear()
        seconds = SILENT_SECONDS + 2 * every / fps
    raise Failure(UNAVAILABLE, f"{name} gave no frame for {seconds:g} s")


class Wishes:
    """What the daemon writes to standard input: wishes for the encoder, and by its end that this one is no longer
    needed, even while the camera hangs."""

    def __init__(self) -> None:
        self.encoder: Any = None

    def listen(self) -> NoReturn:
        for line in sys.stdin.buffer:
            if self.encoder is not None:
                self._fulfil(json.loads(line))
        os._exit(0)

    def _fulfil(self, wish: dict[str, Any]) -> None:
        if wish.get("keyframe"):
            with contextlib.suppress(AttributeError):  # before picamera2 0.3.31 there is no way
                self.encoder.force_key_frame()
        if wish.get("kbps"):
            with contextlib.suppress(OSError):  # nor is it this one's fault when an encoder has its bits fixed
                control = struct.pack("=Ii", V4L2_CID_MPEG_VIDEO_BITRATE, wish["kbps"] * 1000)
                fcntl.ioctl(self.encoder.vd, VIDIOC_S_CTRL, control)


if __name__ == "__main__":
    main(sys.argv[1:])
