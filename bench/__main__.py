"""`make bench`: what overshootd costs beside the bare SDK, as ratios. Exit code 0, or 69 when it could not measure."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bench import cameras, figures, gateway, lab, pictures, runs
from bench.figures import Figure
from bench.process import Failure, running
from bench.ready import ready_seconds
from bench.setting import daemon_env
from overshootd.config.model import FrameProcessing, PublishConfig
from overshootd.contracts import CaptureFormat, PublishPlan
from overshootd.pacing import plan
from overshootd.simulator.livekit_child import find_binary

CHECKOUT = Path(__file__).parents[1]
FOOTAGE = CHECKOUT.parent / "shared" / "media" / "vtest.avi"
FOOTAGE_SECONDS = 80.0
SAMPLES = 40
TURNS = 3
CODECS = ("vp8", "av1")
EVERYTHING = PublishPlan(pictures.FPS, pictures.WIDTH, pictures.HEIGHT, 2_000_000, "vp8")
UNAVAILABLE = 69


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("daemon", "cameras"), help="only these (default: all)")
    parser.add_argument("--seconds", type=float, default=40.0, help="length of each measurement (default: %(default)g)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    file = arguments.json and arguments.json.absolute()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and so end what was started
    try:
        find_binary()
        lab.enter_namespace()
        os.chdir(CHECKOUT)  # from where `python -m bench.…` finds its way
        with tempfile.TemporaryDirectory(prefix="overshootd-bench-") as folder:
            measured = list(_measure(Path(folder), arguments.seconds, arguments.what))
    except (Failure, RuntimeError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return UNAVAILABLE
    print(figures.table(measured))
    if file:
        file.write_text(json.dumps([{**asdict(one), "met": one.met} for one in measured], indent=1) + "\n")
    return 0


def _measure(folder: Path, seconds: float, what: str | None) -> Iterator[Figure]:
    footage = FOOTAGE if FOOTAGE.is_file() else None
    gateway.certify(folder)
    if what != "cameras":
        _say("READY=1, ten times")
        yield figures.start("files cached", ready_seconds(folder, cold=False))
        yield figures.start("files not cached", ready_seconds(folder, cold=True))
    _say(f"drawing pictures from {footage or 'a texture; no footage is here'}")
    pictures.prepare(folder / "pictures", footage)
    with lab.cable() as beyond, _gateway(folder, beyond):
        place = runs.Place(folder, folder / "pictures", beyond, seconds)
        if what != "cameras":
            yield from _daemon(place, footage)
        if what != "daemon":
            yield from cameras.measure(place)


def _daemon(place: runs.Place, footage: Path | None) -> Iterator[Figure]:
    yield from _costs(place)
    _say(f"age of {SAMPLES} samples")
    yield figures.age(runs.ages(place, SAMPLES), 1 / _planned().fps)
    for codec in CODECS if footage else ():
        _say(f"a street, codec {codec}, {FOOTAGE_SECONDS:g} s")
        yield figures.data(f"data, a street, {codec}", runs.street(place, FOOTAGE, FOOTAGE_SECONDS, codec))


def _costs(place: runs.Place) -> list[Figure]:
    _say(f"runs of {runs.WARM_UP:g} s and {place.seconds:g} s: the SDK publishing all")
    everything = runs.bare(place, EVERYTHING)
    bare, ours = [], []
    for turn in range(1, TURNS + 1):  # in turn, for other work on the machine and its clock rate change what CPU costs
        _say(f"the SDK at our rate and overshootd, {turn} of {TURNS}")
        bare.append(runs.bare(place, _planned()))
        ours.append(runs.ours(place))
    return figures.costs(runs.median(ours), everything, runs.median(bare))


def _planned() -> PublishPlan:
    """What overshootd makes of the same camera."""
    processing = FrameProcessing(interval_seconds=runs.INTERVAL)
    return plan(processing, PublishConfig(), CaptureFormat(pictures.FPS, pictures.WIDTH, pictures.HEIGHT))


@contextmanager
def _gateway(folder: Path, beyond: list[str]) -> Iterator[None]:
    command = [*beyond, sys.executable, "-m", "bench.gateway", folder]
    with running(folder, "gateway", command, daemon_env(folder), subprocess.PIPE) as process:
        assert process.stdout is not None
        if not process.stdout.readline().startswith(b"ready"):
            raise Failure("the gateway does not serve")
        yield


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
