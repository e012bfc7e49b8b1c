"""What real cameras cost: H.264 passed on or decoded, MJPEG at several publish rates, and whether the chosen path is
the cheapest. The cameras are programs (bench/player.py), whose own CPU is not counted."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import recordings, runs
from bench.figures import Figure
from bench.pictures import Pictures
from bench.runs import Cost, Place

PLAYER = Path(__file__).with_name("player.py")
MJPEG_RATES = (30.0, 6.0, 1.0, 0.5)
RETURNS = 5
SLACK = 1.1
"""Two runs of the same thing differ by some percent here."""

Publish = dict[str, object]

PASSED: Publish = {"passthrough": "always"}
DECODED: Publish = {"passthrough": "never"}
EVERYTHING: Publish = {"fps": 30, "max_kbps": 2000}


def measure(place: Place) -> Iterator[Figure]:
    """Each run takes `place.seconds` and a warm-up."""
    pictures = Pictures(place.pictures)
    mjpeg = recordings.mjpeg(place.folder / "mjpeg", pictures)
    often = recordings.h264(place.folder / "h264-gop1s", pictures, gop=30)
    seldom = recordings.h264(place.folder / "h264-gop10s", pictures, gop=300)
    slow = recordings.h264(place.folder / "h264-6fps", pictures, fps=6, gop=60, kbps=500)

    passed = _run(place, "H.264 passed on", often, "h264", 30, EVERYTHING | PASSED)
    decoded = _run(place, "H.264 decoded and encoded", often, "h264", 30, EVERYTHING | DECODED)
    yield _ratio("720p30 H.264 passed on", passed, "decoded and encoded", decoded, 1 / 3)
    yield from _mjpeg(place, mjpeg)
    for what, recording, fps, needed in (
        ("30 fps, a keyframe a second, 1 fps needed", often, 30, 1),
        ("30 fps, a keyframe every 10 s, 0.5 fps needed", seldom, 30, 0.5),
        ("6 fps, a keyframe every 10 s, 4 fps needed", slow, 6, 4),
    ):
        publish: Publish = {"fps": needed}
        chosen = _run(place, what, recording, "h264", fps, publish)
        others = {
            "all passed on": _run(place, f"{what}: all passed on", recording, "h264", fps, publish | PASSED),
            "decoded": _run(place, f"{what}: decoded", recording, "h264", fps, publish | DECODED),
        }
        cheapest = min(others, key=lambda name: others[name].cpu)
        yield _ratio(f"H.264, {what}: chosen", chosen, cheapest, others[cheapest], SLACK)
        yield _uplink(f"H.264, {what}: chosen", chosen, others["all passed on"])
    yield _back(place, often)


def _back(place: Place, recording: Path) -> Figure:
    _say(f"a camera that comes back, {RETURNS} times")
    flag = place.folder / "plugged"
    seconds = runs.returns(place, [*_player(recording, 30), flag], flag, RETURNS)
    worst, typical = max(seconds), statistics.median(seconds)
    return Figure(
        "first frame at the gateway, camera back", f"{worst:.2f} s", "median", f"{typical:.2f} s", worst, 2.0, "s"
    )


def _mjpeg(place: Place, recording: Path) -> Iterator[Figure]:
    _say("idle: a test picture of 64x36")
    idle = runs.filmed(place, "idle", {"type": "test", "width": 64, "height": 36}, {"fps": 0.5}, place.seconds)
    costs = {
        fps: _run(place, f"MJPEG at {fps:g} fps", recording, "mjpeg", 30, {"fps": fps, "max_kbps": 2000})
        for fps in MJPEG_RATES
    }
    most = costs[MJPEG_RATES[0]].cpu - idle.cpu
    for fps in MJPEG_RATES[1:]:
        beyond = costs[fps].cpu - idle.cpu
        yield Figure(
            f"720p30 MJPEG at {fps:g} fps, beyond idle",
            f"{beyond:.2%} of a core",
            "at 30 fps",
            f"{most:.2%} of a core",
            beyond / most,
            1 / 20 if fps == MJPEG_RATES[-1] else None,
        )


def _run(place: Place, what: str, recording: Path, form: str, fps: int, publish: Mapping[str, object]) -> Cost:
    _say(what)
    camera = {"type": "command", "argv": _player(recording, fps), "format": form, "fps": fps}
    return runs.filmed(place, "filmed", camera, publish, place.seconds)


def _player(recording: Path, fps: int) -> list[str]:
    return [sys.executable, "-S", str(PLAYER), str(recording), str(fps)]


def _ratio(name: str, ours: Cost, than: str, theirs: Cost, target: float) -> Figure:
    return Figure(name, f"{ours.cpu:.2%} of a core", than, f"{theirs.cpu:.2%} of a core", ours.cpu / theirs.cpu, target)


def _uplink(name: str, ours: Cost, passed: Cost) -> Figure:
    kbps = [f"{cost.up / 125:.0f} kbit/s" for cost in (ours, passed)]
    return Figure(f"{name}, uplink", kbps[0], "all passed on", kbps[1], ours.up / passed.up, SLACK)


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)
