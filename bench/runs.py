"""The runs, one after the other, so that none disturbs another: each gives what it cost over its steady state."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from bench import gateway, plugged
from bench.lab import wire
from bench.ours import SPENT
from bench.process import Failure, cpu_seconds, memory_mb, running
from bench.setting import daemon_env, write_config
from overshootd.contracts import PublishPlan
from overshootd.simulator.tokens import publish_token, subscribe_token

WARM_UP = 20.0
PATIENCE = 30.0
TTL = 3600.0
INTERVAL = 2.0
BACK_INTERVAL = 0.2
"""So short that the first frame is sampled as soon as it is there."""
AWAY = 3.0
"""Long enough for the pauses between two openings to have grown."""

Camera = Callable[[], float]
"""Seconds of CPU that the camera has used so far, which are left out."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Means over the steady state: cores; bytes a second, up and down; MB resident at its end; SSIM of what arrived."""

    cpu: float
    up: float
    down: float
    memory: float
    ssim: float = float("nan")


def median(costs: Sequence[Cost]) -> Cost:
    """Of each figure by itself."""
    return Cost(*(statistics.median(getattr(cost, field.name) for cost in costs) for field in fields(Cost)))


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs happen: their files, the pictures, the words that run a command at the gateway's end, and how long."""

    folder: Path
    pictures: Path
    beyond: list[str]
    seconds: float


def ours(place: Place) -> Cost:
    """overshootd in frame mode, with the pictures as its camera."""
    spent = place.folder / "spent"
    spent.write_bytes(SPENT.pack(0.0))
    with spent.open("rb") as file:
        view = mmap(file.fileno(), SPENT.size, access=ACCESS_READ)
    config = write_config(place.folder, {"type": "test"}, INTERVAL)
    command = [sys.executable, "-m", "bench.ours", place.pictures, spent, "run", "-c", config]
    with running(place.folder, "ours", command, daemon_env(place.folder)) as daemon:
        room = _results(place.folder, 1, PATIENCE)[0]["api"]["stream_id"]
        return _watched(place, daemon, room, camera=lambda: float(SPENT.unpack_from(view)[0]))


def bare(place: Place, plan: PublishPlan) -> Cost:
    """The SDK alone, at this rate, bitrate and codec."""
    key, secret = _keys(place)
    room = f"bare-{uuid.uuid4()}"  # the server keeps who was killed for some seconds
    command = [sys.executable, "-m", "bench.bare", place.pictures, plan.fps, plan.max_bitrate, plan.codec]
    with running(place.folder, "bare", command, _livekit(place, publish_token(key, secret, room, TTL))) as publisher:
        return _watched(place, publisher, room)


def street(place: Place, footage: Path, seconds: float, codec: str) -> Cost:
    """overshootd as it is, with real footage as its camera."""
    return filmed(place, "street", {"type": "file", "path": str(footage)}, {"codec": codec}, seconds)


def filmed(
    place: Place, name: str, camera: Mapping[str, object], publish: Mapping[str, object], seconds: float
) -> Cost:
    """overshootd as it is, in frame mode, with this camera. What a program that is the camera costs is not counted."""
    config = write_config(place.folder, camera, INTERVAL, publish)
    with running(place.folder, name, _daemon(config), daemon_env(place.folder)) as daemon:
        _results(place.folder, 1, PATIENCE)
        time.sleep(WARM_UP)
        return _steady(place, daemon, seconds, lambda: 0.0)


def ages(place: Place, count: int) -> list[float]:
    """Seconds that the newest frame was old, at each of `count` samples."""
    config = write_config(place.folder, {"type": "test"}, INTERVAL)
    count_all = count + round(WARM_UP / INTERVAL)
    with running(place.folder, "ages", _daemon(config), daemon_env(place.folder)):
        records = _results(place.folder, count_all, PATIENCE + INTERVAL * count_all)[-count:]
    found = [re.search(r"age (-?\d+) ms", record["text"]) for record in records]
    return [int(match[1]) / 1000 for match in found if match]


def returns(place: Place, argv: Sequence[object], flag: Path, count: int) -> list[float]:
    """Seconds from the kernel's word that a camera is back, until the gateway sampled a frame of it; `count` times.

    `argv` is a program that is an H.264 camera as long as `flag` is there.
    """
    camera = {"type": "command", "argv": [str(word) for word in argv], "format": "h264", "fps": 30}
    config = write_config(place.folder, camera, BACK_INTERVAL)
    flag.touch()
    command = [sys.executable, "-m", "bench.plugged", "run", "-c", config]
    with running(place.folder, "returns", command, daemon_env(place.folder)):
        _results(place.folder, 1, PATIENCE)
        return [_returned(place, flag) for _ in range(count)]


def _returned(place: Place, flag: Path) -> float:
    known = len(_records(place.folder, "state"))
    flag.unlink()
    _wait(lambda: any(r["state"] == "lost" for r in _records(place.folder, "state")[known:]), "the camera is lost")
    time.sleep(AWAY)
    seen = len(_records(place.folder, "result"))
    flag.touch()
    back = time.time()
    plugged.SPEAK.write_text("add")
    _wait(lambda: len(_records(place.folder, "result")) > seen, "a result after the camera came back")
    observed = _records(place.folder, "result")[seen]["observed_at"]
    return datetime.fromisoformat(observed).timestamp() - back


def _daemon(config: Path) -> list[object]:
    return [sys.executable, "-m", "overshootd", "run", "-c", config]


def _watched(place: Place, process: subprocess.Popen[bytes], room: str, camera: Camera = lambda: 0.0) -> Cost:
    key, secret = _keys(place)
    env = _livekit(place, subscribe_token(key, secret, room, "bench", TTL, hidden=True))
    command = [*place.beyond, sys.executable, "-m", "bench.receiver", place.pictures, WARM_UP, place.seconds]
    with running(place.folder, "receiver", command, env, subprocess.PIPE) as receiver:
        time.sleep(WARM_UP)
        cost = _steady(place, process, place.seconds, camera)
        try:
            seen, _ = receiver.communicate(timeout=PATIENCE)
            return Cost(cost.cpu, cost.up, cost.down, cost.memory, json.loads(seen)["ssim"])
        except (subprocess.TimeoutExpired, ValueError) as error:
            raise Failure("no pictures arrived") from error


def _steady(place: Place, process: subprocess.Popen[bytes], seconds: float, camera: Camera) -> Cost:
    began, cpu, carried = time.monotonic(), cpu_seconds(process.pid) - camera(), wire()
    time.sleep(seconds)
    if process.poll() is not None:
        raise Failure(f"it ended by itself with {process.returncode}")
    elapsed, used, carried = time.monotonic() - began, cpu_seconds(process.pid) - camera() - cpu, wire() - carried
    return Cost(used / elapsed, carried.up / elapsed, carried.down / elapsed, memory_mb(process.pid, place.pictures))


def _results(folder: Path, count: int, patience: float) -> list[Any]:
    _wait(lambda: len(_records(folder, "result")) >= count, f"{count} results", patience)
    return _records(folder, "result")


def _records(folder: Path, kind: str) -> list[Any]:
    path = folder / "results.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [record for line in lines if line.endswith("\n") and (record := json.loads(line))["type"] == kind]


def _wait(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"not within {patience:g} s: {what}")
        time.sleep(0.2)


def _livekit(place: Place, token: str) -> dict[str, str]:
    return {"LIVEKIT_URL": gateway.ROOMS, "LIVEKIT_TOKEN": token, **daemon_env(place.folder)}


def _keys(place: Place) -> tuple[str, str]:
    key, secret = json.loads((place.folder / "rooms.json").read_text())
    return key, secret
