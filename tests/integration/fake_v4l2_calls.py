"""What a fake kernel's cameras answer to each ioctl. The names of the calls are linuxpy's."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from linuxpy.video import raw

from tests.integration.fake_v4l2_camera import BUFFER, METADATA, FakeCamera, Mode

Caps, Flag, Type = raw.Capability, raw.BufferFlag, raw.CtrlType


def answer_call(camera: FakeCamera, name: str, argument: Any) -> None:
    """Change the argument as the kernel does. Raises OSError."""
    with camera.lock:
        if error := camera.errors.get(name):
            _fail(error)
    if name == "STREAMOFF":  # outside the lock, which the driver's thread may need to come to its end
        camera.halt()
        return
    with camera.lock:
        ANSWERS.get(name, _unknown)(camera, argument)


def _fail(number: int) -> None:
    raise OSError(number, os.strerror(number))


def _unknown(camera: FakeCamera, argument: Any) -> None:
    _fail(errno.ENOTTY)


def _querycap(camera: FakeCamera, answer: Any) -> None:
    answer.driver, answer.card = camera.driver.encode(), camera.card.encode()
    answer.bus_info = b"usb-fake-1"
    answer.device_caps = camera.caps
    answer.capabilities = camera.caps | METADATA | Caps.DEVICE_CAPS  # a real one names those of all its nodes


def _enum_fmt(camera: FakeCamera, answer: Any) -> None:
    modes = camera.modes if answer.type == raw.BufType.VIDEO_CAPTURE else ()
    if answer.index >= len(modes):
        _fail(errno.EINVAL)
    answer.pixelformat = raw.v4l2_fourcc(*modes[answer.index].fourcc)
    answer.description = modes[answer.index].fourcc.encode()


def _mode(camera: FakeCamera, code: int) -> Mode:
    for mode in camera.modes:
        if raw.v4l2_fourcc(*mode.fourcc) == code:
            return mode
    raise OSError(errno.EINVAL, "no such format")


def _enum_sizes(camera: FakeCamera, answer: Any) -> None:
    mode = _mode(camera, answer.pixel_format)
    if answer.index >= (1 if mode.ranged else len(mode.sizes)):
        _fail(errno.EINVAL)
    if mode.ranged:
        answer.type = raw.Frmsizetypes.STEPWISE
        (answer.stepwise.min_width, answer.stepwise.max_width, answer.stepwise.step_width) = mode.sizes[0]
        (answer.stepwise.min_height, answer.stepwise.max_height, answer.stepwise.step_height) = mode.sizes[1]
    else:
        answer.type = raw.Frmsizetypes.DISCRETE
        answer.discrete.width, answer.discrete.height = mode.sizes[answer.index]


def _enum_intervals(camera: FakeCamera, answer: Any) -> None:
    mode = _mode(camera, answer.pixel_format)
    if answer.index >= (1 if mode.any_rate else len(mode.rates)):
        _fail(errno.EINVAL)
    if mode.any_rate:
        answer.type = raw.Frmivaltypes.CONTINUOUS
        _interval(answer.stepwise.max, mode.rates[0])
        _interval(answer.stepwise.min, mode.rates[1])
        _interval(answer.stepwise.step, 1)
    else:
        answer.type = raw.Frmivaltypes.DISCRETE
        _interval(answer.discrete, mode.rates[answer.index])


def _interval(fraction: Any, fps: float) -> None:
    fraction.numerator, fraction.denominator = 1000, round(fps * 1000)


def _s_fmt(camera: FakeCamera, answer: Any) -> None:
    pix = answer.fmt.pix
    mode = next((mode for mode in camera.modes if raw.v4l2_fourcc(*mode.fourcc) == pix.pixelformat), camera.modes[0])
    if not mode.ranged:
        pix.width, pix.height = min(mode.sizes, key=lambda size: abs(size[0] - pix.width) + abs(size[1] - pix.height))
    camera.now = (mode, pix.width, pix.height)
    camera.fps = (*mode.rates, 20.0)[0]
    pix.pixelformat = raw.v4l2_fourcc(*mode.fourcc)
    pix.bytesperline, pix.sizeimage = camera.stride, BUFFER


def _s_parm(camera: FakeCamera, answer: Any) -> None:
    frame, mode = answer.parm.capture.timeperframe, camera.now[0]
    asked = frame.denominator / frame.numerator
    if not mode.any_rate:
        asked = min(mode.rates, key=lambda rate: abs(rate - asked))
    camera.fps = asked
    _interval(frame, asked)


def _querybuf(camera: FakeCamera, answer: Any) -> None:
    answer.length, answer.m.offset = BUFFER, answer.index * BUFFER


def _qbuf(camera: FakeCamera, answer: Any) -> None:
    assert answer.index not in camera.queued, "a buffer is the driver's until it is done"
    camera.queued.append(answer.index)


def _dqbuf(camera: FakeCamera, answer: Any) -> None:
    if not camera.streaming:
        _fail(errno.EINVAL)
    if not camera.done:
        _fail(errno.EAGAIN)
    os.read(camera.fifo, 1)
    answer.index, answer.bytesused, stamp_ns = camera.done.popleft()
    answer.flags = camera.flags | (Flag.ERROR if camera.damaged else 0)
    answer.timestamp.secs, answer.timestamp.usecs = stamp_ns // 10**9, stamp_ns % 10**9 // 1000


def _query_control(camera: FakeCamera, answer: Any) -> None:
    wanted, following = answer.id & 0x0FFFFFFF, bool(answer.id & 0xF0000000)
    numbered = {_id(number): knob for number, knob in enumerate(camera.knobs)}
    found = next((key for key in numbered if (key > wanted if following else key == wanted)), None)
    if found is None:
        raise OSError(errno.EINVAL, "no such control")
    knob = numbered[found]
    answer.id, answer.type, answer.name, answer.flags = found, knob.type, knob.title.encode(), knob.flags
    answer.minimum, answer.maximum, answer.step, answer.default_value = (
        knob.minimum, knob.maximum, knob.step, knob.default,
    )  # fmt: skip


def _id(number: int) -> int:
    return 0x00980900 + number


def _query_menu(camera: FakeCamera, answer: Any) -> None:
    knob = camera.knobs[answer.id - _id(0)]
    if answer.index not in knob.entries:
        _fail(errno.EINVAL)
    entry = knob.entries[answer.index]
    if isinstance(entry, int):
        answer.value = entry
    else:
        answer.name = entry.encode()


def _set_controls(camera: FakeCamera, answer: Any) -> None:
    for wanted in answer.controls[: answer.count]:
        knob = camera.knobs[wanted.id - _id(0)]
        if knob.refuses:
            _fail(knob.refuses)
        knob.value = wanted.value64 if knob.type == Type.INTEGER64 else wanted.value
        camera.settings.append((knob.title, knob.value))
        camera.keyframe = camera.keyframe or knob.title == "Force Key Frame"


def _get_controls(camera: FakeCamera, answer: Any) -> None:
    for index in range(answer.count):
        knob = camera.knobs[answer.controls[index].id - _id(0)]
        if knob.type == Type.INTEGER64:
            answer.controls[index].value64 = knob.value
        else:
            answer.controls[index].value = knob.value


ANSWERS: dict[str, Callable[[FakeCamera, Any], None]] = {
    "QUERYCAP": _querycap,
    "ENUM_FMT": _enum_fmt,
    "ENUM_FRAMESIZES": _enum_sizes,
    "ENUM_FRAMEINTERVALS": _enum_intervals,
    "S_FMT": _s_fmt,
    "S_PARM": _s_parm,
    "REQBUFS": lambda camera, answer: camera.queued.clear(),
    "QUERYBUF": _querybuf,
    "QBUF": _qbuf,
    "DQBUF": _dqbuf,
    "STREAMON": lambda camera, answer: camera.stream(),
    "QUERY_EXT_CTRL": _query_control,
    "QUERYMENU": _query_menu,
    "S_EXT_CTRLS": _set_controls,
    "G_EXT_CTRLS": _get_controls,
}
