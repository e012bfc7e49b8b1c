"""An RTSP server on loopback that plays recordings, for /usr/bin/python3: GStreamer's, from Debian's packages.

    rtsp_server.py '{"port": 0, "mounts": {"/cam": {"codec": "h264", "fps": 20, "file": "units"}}}'

It prints `ready PORT`. A recording holds encoded pictures as they are sent, each after 8 bytes of time in nanoseconds
and 4 bytes of length; every client sees it from its beginning, again and again. "login": ["digest", USER, PASSWORD]
makes the server ask for one, "only": "udp" or "tcp" is all that it offers then.
"""

from __future__ import annotations

import importlib
import json
import struct
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

gi: Any = importlib.import_module("gi")  # Debian's Python has it, the project's own has not
gi.require_versions({"Gst": "1.0", "GstRtsp": "1.0", "GstRtspServer": "1.0"})
Gst: Any = importlib.import_module("gi.repository.Gst")
GLib: Any = importlib.import_module("gi.repository.GLib")
GstRtsp: Any = importlib.import_module("gi.repository.GstRtsp")
GstRtspServer: Any = importlib.import_module("gi.repository.GstRtspServer")

Unit = tuple[int, bytes]

PIPELINES = {
    "h264": ("video/x-h264,stream-format=byte-stream,alignment=au", "rtph264pay config-interval=0"),
    "h265": ("video/x-h265,stream-format=byte-stream,alignment=au", "rtph265pay config-interval=0"),
    "jpeg": ("image/jpeg,width={width},height={height}", "rtpjpegpay"),
}
"""What comes in, and what cuts it up. Parameter sets are sent where the recording has them, and beforehand."""


def main(setting: dict[str, Any]) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(str(setting.get("port", 0)))
    if login := setting.get("login"):
        server.set_auth(_auth(*login))
    for path, mount in setting["mounts"].items():
        server.get_mount_points().add_factory(path, _factory(mount, bool(login), setting.get("only")))
    if not server.attach(None):
        sys.exit("the port is not free")
    print("ready", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def _factory(mount: dict[str, Any], guarded: bool, only: str | None) -> Any:
    caps, payloader = PIPELINES[mount["codec"]]
    rate = f",framerate={mount['fps']}/1" if mount.get("fps") else ""
    factory = GstRtspServer.RTSPMediaFactory.new()
    source = f"appsrc name=source is-live=true format=time block=false caps={caps.format(**mount)}{rate}"
    factory.set_launch(f"( {source} ! {payloader} name=pay0 pt=96 )")
    units = list(_read(Path(mount["file"])))
    factory.connect("media-configure", lambda _factory, media: _play(media, units))
    if only:
        factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP if only == "tcp" else GstRtsp.RTSPLowerTrans.UDP)
    if guarded:
        permissions = GstRtspServer.RTSPPermissions.new()
        for action in ("access", "construct"):
            permissions.add_permission_for_role("viewer", f"media.factory.{action}", True)
        factory.set_permissions(permissions)
    return factory


def _play(media: Any, units: list[Unit]) -> None:
    coming = _endless(units)

    def more(source: Any, _wanted: int) -> None:
        time, data = next(coming)
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = time
        source.emit("push-buffer", buffer)

    media.get_element().get_by_name("source").connect("need-data", more)


def _endless(units: list[Unit]) -> Iterator[Unit]:
    length = max(time for time, _ in units) + min(time for time, _ in units[1:] if time)
    for turn in count():
        yield from ((time + turn * length, data) for time, data in units)


def _read(path: Path) -> Iterator[Unit]:
    data, offset = path.read_bytes(), 0
    while offset < len(data):
        time, length = struct.unpack_from(">QI", data, offset)
        yield time, data[offset + 12 : offset + 12 + length]
        offset += 12 + length


def _auth(method: str, user: str, password: str) -> Any:
    auth, token = GstRtspServer.RTSPAuth.new(), GstRtspServer.RTSPToken.new()
    token.set_string("media.factory.role", "viewer")
    if method == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    return auth


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
