"""A kernel with cameras in it, for programs that use V4L2. Only ioctl and mmap are faked.

Nodes are FIFOs in a tree of their own, so opening, polling and closing are real; buffers are a real file's pages. The
structures are linuxpy's: that they are those of the kernel, the lab's real drivers show.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from linuxpy.video import raw

from tests.integration.fake_v4l2_calls import answer_call
from tests.integration.fake_v4l2_camera import FakeCamera


class FakeKernel:
    """The tree in which cameras appear, and the calls that reach them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self._cameras: dict[tuple[int, int], FakeCamera] = {}  # by their nodes, which nobody reuses while they are open
        self._ioctl, self._mmap = fcntl.ioctl, mmap.mmap
        monkeypatch.setattr(fcntl, "ioctl", self._answer)
        monkeypatch.setattr(mmap, "mmap", self._map)
        for folder in ("dev", "sys/class/video4linux"):
            (root / folder).mkdir(parents=True)

    def plug(
        self, camera: FakeCamera, number: int = 0, *, usb: str | None = "1-1.2", serial: str = "0001", index: int = 0,
        by_id: str | None = None, by_path: str | None = None, interface: str = "1.0", platform: str = "fake.0",
    ) -> None:  # fmt: skip
        """It becomes /dev/video{number}, on a USB bus unless `usb` is None; `by_id` and `by_path` are udev's names."""
        node = self.root / f"dev/video{number}"
        os.mkfifo(node)
        camera.fifo = os.open(node, os.O_RDWR | os.O_NONBLOCK)
        self._cameras[_identity(os.stat(node))] = camera
        bus = self.root / "sys/devices/pci0/usb1"
        seat = bus / usb / f"{usb}:{interface}" if usb else self.root / "sys/devices" / platform
        entry = seat / f"video4linux/video{number}"
        entry.mkdir(parents=True)
        (entry / "name").write_text(f"{camera.card}\n")
        (entry / "index").write_text(f"{index}\n")
        (entry / "device").symlink_to("../..")
        driver = self.root / "sys/bus/drivers" / camera.driver
        driver.mkdir(parents=True, exist_ok=True)
        if not (seat / "driver").exists():
            (seat / "driver").symlink_to(driver)
        if usb:
            for name, value in {"idVendor": "046d", "idProduct": "082d", "serial": serial}.items():
                (bus / usb / name).write_text(f"{value}\n")
        (self.root / f"sys/class/video4linux/video{number}").symlink_to(entry)
        self._link("by-id", by_id, number)
        self._link("by-path", by_path, number)

    def _link(self, folder: str, name: str | None, number: int) -> None:
        if name:
            directory = self.root / "dev/v4l" / folder
            directory.mkdir(parents=True, exist_ok=True)
            (directory / name).unlink(missing_ok=True)
            (directory / name).symlink_to(f"../../video{number}")

    def pull(self, camera: FakeCamera) -> None:
        """Take it away."""
        with camera.lock:
            mine = _identity(os.fstat(camera.fifo))
            node = next(node for node in (self.root / "dev").glob("video*") if _identity(os.stat(node)) == mine)
            camera.errors = {request.name: errno.ENODEV for request in raw.IOC}
            camera.silent = True
            camera.wake()
            entry = self.root / f"sys/class/video4linux/{node.name}"
            shutil.rmtree(entry.resolve())
            entry.unlink()
            node.unlink()
            for link in (self.root / "dev/v4l").glob("*/*"):
                if not link.exists():
                    link.unlink()

    @property
    def cameras(self) -> list[FakeCamera]:
        return list(self._cameras.values())

    def close(self) -> None:
        for camera in self._cameras.values():
            camera.halt()
            os.close(camera.fifo)
            os.close(camera.memory)

    def _camera(self, fd: int) -> FakeCamera | None:
        return self._cameras.get(_identity(os.fstat(fd)))

    def _map(self, fd: int, length: int, *args: Any, **options: Any) -> mmap.mmap:
        camera = self._camera(fd) if fd >= 0 else None
        return self._mmap(fd if camera is None else camera.memory, length, *args, **options)

    def _answer(self, fd: int, request: int, argument: Any = 0, *more: Any) -> Any:
        camera = self._camera(fd)
        if camera is None:
            return self._ioctl(fd, request, argument, *more)
        answer_call(camera, raw.IOC(request).name, argument)
        return 0


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
