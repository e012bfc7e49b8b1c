"""The privileged helper: takes a camera off its USB port and back, or reboots, and can do nothing else.

It runs as root, one process for each request (systemd/overshootd-helper@.service), so it is small, imports nothing but
the standard library, and believes nothing that it is told. One JSON object on a line comes in, one goes out:

    {"do": "usb-reset", "usb": "1-1.2"}     {"ok": true}
    {"do": "reboot"}                        {"ok": false, "why": "…"}
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REQUEST_BYTES = 4096
REQUEST_SECONDS = 5.0
OFF_SECONDS = 0.5
"""Off the port for so long: hubs and cameras notice in a few milliseconds."""

UPTIME_SECONDS = 3600.0
"""No reboot before: a camera that no reboot mends must not keep the machine rebooting."""

REBOOT_SECONDS = 8.0

USB_NAME = re.compile(r"[0-9]+-[0-9]+(\.[0-9]+)*")
"""Bus, port, and the ports of hubs on the way (the kernel's usb_alloc_dev). A root hub is called otherwise: usb1."""

VIDEO_CLASS = "0e"
"""bInterfaceClass of cameras (USB Video Class 1.5, table A-1)."""


class Refused(Exception):
    """It is not done; the text says why."""


def main(arguments: list[str] | None = None) -> int:
    """Answer the one request that comes over standard input, which is a socket."""
    parser = argparse.ArgumentParser(prog="overshootd-helper", description=__doc__, add_help=True)
    parser.add_argument("--root", type=Path, default=Path("/"), help="where sys, proc and usr are")
    root = parser.parse_args(arguments).root
    with socket.socket(fileno=sys.stdin.fileno()) as connection:
        connection.settimeout(REQUEST_SECONDS)
        try:
            answer = answer_to(_line(connection), root)
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except OSError as error:  # whoever asked is gone
            print(f"no answer was taken: {error}", file=sys.stderr)
            return 1
    return 0 if answer["ok"] else 1


def answer_to(line: bytes, root: Path) -> dict[str, Any]:
    """Do what the line asks for, if it may be done. What was done, or why it was not, is said on stderr too."""
    try:
        done = _act(_request(line), root)
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return {"ok": False, "why": str(error)}
    print(done, file=sys.stderr)
    return {"ok": True}


def _line(connection: socket.socket) -> bytes:
    received = b""
    while b"\n" not in received and len(received) <= REQUEST_BYTES:
        more = connection.recv(REQUEST_BYTES)
        if not more:
            break
        received += more
    return received


def _request(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line) if line.endswith(b"\n") and len(line) <= REQUEST_BYTES else None
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise Refused("the request is no JSON object on one line")
    return request


def _act(request: dict[str, Any], root: Path) -> str:
    match request:
        case {"do": "usb-reset", "usb": str(name), **rest} if not rest:
            return _reset(name, root)
        case {"do": "reboot", **rest} if not rest:
            return _reboot(root)
    raise Refused(f"nothing that can be asked for: {json.dumps(request)[:200]}")


def _reset(name: str, root: Path) -> str:
    if not USB_NAME.fullmatch(name):
        raise Refused(f"no name of a USB device: {name[:80]!r}")
    device = root / "sys/bus/usb/devices" / name
    if not device.is_dir():
        raise Refused(f"there is no USB device {name}")
    if not _is_camera(device):
        raise Refused(f"USB device {name} is no camera")
    authorized = device / "authorized"
    try:
        try:
            authorized.write_text("0")
            time.sleep(OFF_SECONDS)
        finally:
            authorized.write_text("1")
    except OSError as error:
        raise Refused(f"USB device {name}: {error.strerror}") from error
    return f"USB device {name} was taken off its port and put back"


def _is_camera(device: Path) -> bool:
    """Whether one of its interfaces is a camera's by its class, or has a video node."""
    interfaces = list(device.glob(f"{device.name}:*"))
    return any(_read(one / "bInterfaceClass") == VIDEO_CLASS or (one / "video4linux").is_dir() for one in interfaces)


def _reboot(root: Path) -> str:
    uptime = float(_read(root / "proc/uptime").split(" ")[0] or 0)
    if uptime < UPTIME_SECONDS:
        raise Refused(f"up for {uptime / 60:.0f} minutes only: no reboot within an hour of the last start")
    print("rebooting: overshootd asks for it, a camera cannot be opened", file=sys.stderr, flush=True)
    try:
        command = [str(root / "usr/bin/systemctl"), "reboot"]
        subprocess.run(command, check=True, timeout=REBOOT_SECONDS, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(f"systemctl reboot failed: {error}") from error
    return "the machine reboots"


def _read(path: Path) -> str:
    """Its text, or nothing where it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
