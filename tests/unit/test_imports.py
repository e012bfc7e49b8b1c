"""The layout shows the architecture: imports go one way (design.md, "What flows where")."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "overshootd"

MAY_IMPORT = {
    # room or module: what else of overshootd it may import, besides itself and config.model, config.secret
    "contracts": set(),
    "errors": set(),
    "groups": {"errors"},
    "backoff": set(),
    "handoff": {"contracts"},
    "condition": {"contracts"},
    "marker": set(),
    "h264": set(),
    "ffmpeg": {"errors", "contracts", "h264"},
    "clock": set(),
    "status": set(),
    "systemd": set(),
    "logs": {"contracts"},
    "route": {"contracts"},
    "wishes": {"contracts"},
    "pacing": {"contracts", "route"},
    "access": set(),
    "config": {"", "errors", "access"},
    "capture": {"contracts", "errors", "backoff", "handoff", "condition", "marker", "h264", "ffmpeg", "route"},
    "publish": {
        *("access", "contracts", "errors", "condition", "handoff", "h264", "ffmpeg", "wishes", "remedy"),
    },
    "api": {"contracts", "errors", "backoff", "condition", "remedy"},
    "sinks": {"groups", "contracts", "errors", "backoff", "condition", "remedy", "status"},
    "mqtt": {"groups", "", "contracts", "errors", "backoff", "condition", "status", "remedy"},
    "records": {"contracts", "errors", "backoff", "condition", "sinks", "status"},
    "ladder": {"contracts", "backoff", "status"},
    "presence": {"contracts", "errors", "ladder", "status", "wishes"},
    "statefile": {"contracts", "errors"},
    "statelock": {"contracts", "errors", "condition", "statefile", "sinks"},
    "controls": {"contracts", "errors", "backoff", "condition", "statefile"},
    "meter": {"contracts"},
    "board": set(),
    "resume": {"contracts", "errors", "condition", "statefile"},
    "leftovers": {"groups", "contracts", "backoff", "resume"},
    "memory": {"contracts"},
    "remedy": set(),
    "proxies": {"contracts", "errors"},
    "paths": set(),
    "peers": {"contracts", "paths"},
    "network": {"groups", "contracts", "backoff", "condition", "paths", "peers"},
    "resolver": set(),
    "sight": {"contracts", "config", "pacing"},
    "pictures": {"contracts", "errors", "config", "status", "sight", "capture", "ffmpeg", "control"},
    "outlets": {"groups", "", "contracts", "errors", "status", "config", "sinks", "mqtt"},
    "stream": {
        "groups",
        "contracts",
        "errors",
        "backoff",
        "controls",
        "meter",
        "pacing",
        "presence",
        "records",
        "route",
    },
    "supervisor": {"contracts", "errors", "backoff", "controls", "records", "status"},
    "control": {
        "groups",
        "",
        "contracts",
        "errors",
        "backoff",
        "board",
        "clock",
        "config",
        "condition",
        "memory",
        "status",
    },
    "daemon": {
        "contracts",
        "groups",
        "errors",
        "controls",
        "pacing",
        "status",
        "clock",
        "systemd",
        "records",
        "resume",
        "leftovers",
        "route",
        "stream",
        "sight",
        "supervisor",
        "config",
        "capture",
        "publish",
        "api",
        "outlets",
        "sinks",
    },
    "outside": {
        *("", "contracts", "status", "config", "network", "paths", "proxies", "resolver"),
        *("api", "publish"),
    },
    "app": {
        *("", "contracts", "errors", "status", "clock", "config", "logs", "systemd", "resume", "resolver", "memory"),
        *("controls", "board", "groups", "statelock"),
        *("sinks", "mqtt", "outlets", "outside", "daemon", "pictures", "control"),
    },
    "simulator": {"backoff", "marker"},
    "demo": {"", "errors"},
    "cli": {"", "app", "config", "control", "inventory", "snapshot", "simulator", "demo"},
    "inventory": {"errors", "config", "capture"},
    "snapshot": {"contracts", "errors", "config", "logs", "sight", "capture", "ffmpeg", "control"},
    "__main__": {"cli"},
    "__init__": set(),
}

VALUES = [["config", name] for name in ("model", "cameras", "transports", "pieces", "secret", "brokers", "sinks")]
"""What may be imported anywhere: frozen values."""

FFMPEG = ("draw", "encoder", "errors", "frame", "lazy", "live", "network", "packet", "split", "still", "video", "vp8")

MET_IN = {
    # what frames are put into, the room, and the tokens for one of the user's own, which PyJWT signs
    "livekit": {"publish/source.py", "publish/livekit.py", "publish/tokens.py"},
    "jwt": {"publish/tokens.py"},
    # the peer connection, and the parts of it that the library keeps to itself
    "aiortc": {"publish/webrtc.py", "publish/peer.py"},
    "aioice": {"publish/peer.py"},
    # one room for FFmpeg, below those that capture and publish
    "av": {f"ffmpeg/{name}.py" for name in FFMPEG},
    # the API, and webhooks: other authorities, other bounds, another life
    "httpx": {"api/http.py", "sinks/webhook.py"},
    "aiomqtt": {"mqtt/client.py"},
    "paho": {"mqtt/client.py"},
    "pyroute2": {"network.py"},
    "websockets": {"api/socket.py"},
    "sqlite3": {"sinks/database.py"},
    "structlog": {"logs.py"},
    "logging_journald": {"logs.py"},
    "sdnotify": {"systemd.py"},
    "yaml": {"config/parse.py"},
    "uuid6": {"sinks/spool.py"},
    # no service behind an adapter, but the language that pictures are computed in
    "numpy": {"marker.py", "capture/testcam.py", "capture/privacy.py", "capture/scrutiny.py"}
    | {"ffmpeg/draw.py", "ffmpeg/still.py"},
    "linuxpy": {"capture/v4l2/device.py"},
    # a program of its own, which the system's Python runs
    "picamera2": {"capture/program/picamera2_child.py"},
    "libcamera": {"capture/program/picamera2_child.py"},
    # the configuration is made of its classes; explain puts its errors into our words
    "pydantic": {
        f"config/{name}.py"
        for name in ("model", "pieces", "cameras", "transports", "brokers", "sinks", "secret", "explain")
    },
    "pydantic_core": {
        f"config/{name}.py" for name in ("model", "pieces", "transports", "brokers", "sinks", "secret", "explain")
    },
}
"""A vendor package is imported where it is adapted, and nowhere else in the daemon. Where it is more than one module,
the comment says why."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield _absolute(path, node)


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = path.relative_to(ROOT).parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def vendors(path: Path) -> set[str]:
    """The packages that others maintain, and the standard library's database, which is one in all but its origin."""
    packages = {name.split(".")[0] for name in imports(path)}
    return packages - (sys.stdlib_module_names - {"sqlite3"}) - {"overshootd"}


MODULES = sorted(PACKAGE.rglob("*.py"))
DAEMON = [path for path in MODULES if room(path) not in ("simulator", "demo")]  # those are trees of their own


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_lies_below_its_room(path: Path) -> None:
    mine = room(path)
    ours = [name.split(".")[1:3] for name in imports(path) if name.split(".")[0] == "overshootd"]
    wrong = [name for name in ours if (name or [""])[0] not in MAY_IMPORT[mine] | {mine} and name not in VALUES]
    assert not wrong


def test_a_vendor_package_is_met_where_it_is_adapted() -> None:
    met: dict[str, set[str]] = {}
    for path in DAEMON:
        for vendor in vendors(path):
            met.setdefault(vendor, set()).add(str(path.relative_to(PACKAGE)))
    assert met == MET_IN


@pytest.mark.parametrize("path", DAEMON, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_of_the_daemon_knows_the_simulator_or_the_demo(path: Path) -> None:
    if room(path) == "cli":
        return  # the command line starts all three
    assert not {name for name in imports(path) if name.startswith(("overshootd.simulator", "overshootd.demo"))}
