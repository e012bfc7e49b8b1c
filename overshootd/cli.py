"""The command line: each command parses here and runs in its own room."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from overshootd import __version__
from overshootd.simulator.cli import add_arguments as add_simulate_arguments

USAGE = 64
"""EX_USAGE of sysexits.h; argparse's own 2 means nothing to systemd."""


MAX_SECONDS = 3600.0


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # the base says NoReturn, and so is this
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    root = Parser(prog="overshootd", description="Keeps cameras streaming to Overshoot and delivers every result.")
    root.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the daemon")
    _config_argument(run)
    check = commands.add_parser("check", help="say everything that is wrong with a configuration")
    _config_argument(check)
    check.add_argument("--json", action="store_true", help="print an object that a program can read")
    commands.add_parser("schema", help="print the configuration's JSON Schema, for editors")
    _status_arguments(commands.add_parser("status", help="say what the running daemon does"))

    cameras = commands.add_parser("cameras", help="list this machine's cameras, with the lines to configure them")
    cameras.add_argument("--json", action="store_true", help="print an object that a program can read")
    _order_arguments(commands.add_parser("pause", help="let a stream rest: its camera is closed, nothing is billed"))
    _order_arguments(commands.add_parser("resume", help="end a stream's pause"))
    prompt = commands.add_parser("prompt", help="ask a running stream something else, or say what it is asked")
    _order_arguments(prompt)
    prompt.add_argument("prompt", nargs="?", metavar="PROMPT", help="from now on, until the configured one changes")
    _snapshot_arguments(commands.add_parser("snapshot", help="take a picture of what a stream or a camera sees"))

    simulate = commands.add_parser("simulate", help="an Overshoot API on this machine, to try things without credits")
    demo = commands.add_parser("demo", help="simulator and daemon together: watch results arrive")
    add_simulate_arguments(simulate)
    demo.add_argument("--seconds", type=float, default=None, help="end after this many seconds (default: at Ctrl-C)")
    demo.add_argument("--video", type=Path, default=None, help="use this video instead of the test picture")
    return root


def _config_argument(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-c", "--config", type=Path, default=Path("/etc/overshootd"), metavar="FILE",
        help="the file, or a directory holding overshootd.yaml and streams.d/ (default: %(default)s)",
    )  # fmt: skip


def _status_arguments(command: argparse.ArgumentParser) -> None:
    command.description = "Asks the daemon that runs with the configuration what its streams and cameras do."
    _daemon_arguments(command)


def _order_arguments(command: argparse.ArgumentParser) -> None:
    command.description = "Tells the daemon that runs with the configuration. It counts over restarts too."
    command.add_argument("stream", metavar="STREAM", help="its name in the configuration")
    _daemon_arguments(command)


def _daemon_arguments(command: argparse.ArgumentParser) -> None:
    _config_argument(command)
    command.add_argument("--json", action="store_true", help="print an object that a program can read")
    command.add_argument(
        "--socket", type=Path, metavar="PATH", help="ask the daemon that listens there, whatever its configuration"
    )


def _snapshot_arguments(command: argparse.ArgumentParser) -> None:
    command.description = (
        "Writes what the stream would publish now, masked and cropped, as a JPEG. The daemon is asked when it has the "
        "camera, else the camera is opened."
    )
    command.add_argument("name", metavar="STREAM|CAMERA", help="a stream; when there is none of this name, a camera")
    command.add_argument("-o", "--output", required=True, metavar="FILE", help="the JPEG file; - is standard output")
    _config_argument(command)
    command.add_argument("--timeout", type=_seconds, default=30.0, metavar="S", help="seconds to wait for a picture")


def _seconds(text: str) -> float:
    """A bound that somebody waits for."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text}: expected seconds, more than 0 and at most {MAX_SECONDS:g}")
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (sysexits: 0, 64 usage, 69 unavailable, 78 configuration)."""
    args = parser().parse_args(argv)
    match args.command:
        case "run":
            from overshootd.app import run

            return run(args.config)
        case "check":
            from overshootd.config.commands import check

            return check(args.config, os.environ, as_json=args.json, out=sys.stdout)
        case "schema":
            from overshootd.config.commands import schema

            return schema(sys.stdout)
        case "status":
            from overshootd.control.status_command import status

            return status(args.config, args.socket, args.json, os.environ, sys.stdout)
        case "pause" | "resume" | "prompt":
            from overshootd.control.orders_command import Order, order

            given = Order(args.command, args.stream, getattr(args, "prompt", None))
            return order(given, args.config, args.socket, args.json, os.environ, sys.stdout)
        case "cameras":
            from overshootd.inventory.command import cameras

            return cameras(args.json, sys.stdout)
        case "snapshot":
            from overshootd.snapshot import snapshot

            return snapshot(args.name, args.output, args.config, args.timeout, os.environ)
        case "simulate":
            from overshootd.simulator.cli import main as simulate

            return simulate(args)
        case "demo":
            from overshootd.demo import demo

            return demo(args.seconds, args.video)
        case command:
            raise AssertionError(command)
