"""More than opening a camera again, where that was asked for: a USB reset or a reboot, by the privileged helper."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from overshootd.config.cameras import RealCamera, Recovery, V4l2Camera
from overshootd.contracts import Camera, Log
from overshootd.errors import CameraLost, OvershootdError

HELPER = Path("/run/overshootd-helper.sock")
"""Where systemd listens for it (systemd/overshootd-helper.socket)."""

HELPER_SECONDS = 10.0
"""It resets within two seconds; a kernel whose USB hangs may keep it for ever."""

ANSWER_BYTES = 4096


class Step(Enum):
    """What may be done. The values are the helper's words."""

    USB_RESET = "usb-reset"
    REBOOT = "reboot"


def step(recovery: Recovery, failures: int) -> Step | None:
    """What is due after so many openings failed in a row. Each step comes again after as many; a reboot goes first.

    Pure. Whether a reboot is not too soon after the last one, the helper decides: it can tell, and nobody can ask it
    to look away.
    """
    if recovery.reboot_after and failures and failures % recovery.reboot_after == 0:
        return Step.REBOOT
    if recovery.usb_reset_after and failures and failures % recovery.usb_reset_after == 0:
        return Step.USB_RESET
    return None


def usb_of(config: RealCamera) -> str | None:
    """The name of the camera's USB device in sysfs, such as "1-1.2"; None for what is no USB camera.

    Blocks. Raises CameraLost when it is not there.
    """
    if not isinstance(config, V4l2Camera):
        return None
    from overshootd.capture.v4l2.find import find

    return find(config.device)[0].usb


class HelperMissing(OvershootdError):
    """There is no helper that answers."""


async def ask_helper(socket: Path, request: Mapping[str, str]) -> str:
    """Ask the helper for one act. Returns why it was not done, "" when it was. Raises HelperMissing."""
    try:
        async with asyncio.timeout(HELPER_SECONDS):
            return _refusal(await _exchange(socket, request))
    except TimeoutError:
        return f"the helper gave no answer within {HELPER_SECONDS:g} s"
    except OSError as error:
        raise HelperMissing(f"{socket}: {error.strerror or error}") from error


async def _exchange(socket: Path, request: Mapping[str, str]) -> bytes:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(json.dumps(request).encode() + b"\n")
        await writer.drain()
        return await reader.read(ANSWER_BYTES)  # one write of some hundred bytes, so it comes whole
    finally:
        writer.close()


def _refusal(answer: bytes) -> str:
    try:
        said: Any = json.loads(answer)
    except ValueError:
        return f"the helper answered {answer[:80]!r}"
    if not isinstance(said, dict) or said.get("ok") is not True:
        return str(said.get("why") or said) if isinstance(said, dict) else str(said)
    return ""


class Recoverer:
    """One camera's ladder. `tell` takes what was done, for the records: a reboot must explain itself to whoever reads
    them, and the journal of many a Pi is gone by then."""

    def __init__(
        self,
        config: RealCamera,
        tell: Callable[[str], None],
        log: Log,
        *,
        helper: Path = HELPER,
        locate: Callable[[RealCamera], str | None] = usb_of,
    ) -> None:
        self._config, self._recovery, self._tell, self._log = config, config.recovery, tell, log
        self._helper, self._locate = helper, locate
        self._usb: str | None = None  # written in the camera's thread; gone from sysfs when it is needed most
        self._failures = 0
        self._said: set[str] = set()

    def watching(self, make: Callable[[], Camera]) -> Callable[[], Camera]:
        """`make`, and remember before each opening where on the USB the camera is. For the camera's thread."""

        def located() -> Camera:
            try:
                self._usb = self._locate(self._config) or self._usb
            except CameraLost as error:  # which opening will say too
                self._log.debug(f"not on the USB: {error}")
            return make()

        return located if self._recovery.usb_reset_after else make

    def worked(self) -> None:
        """The camera worked for a while."""
        self._failures = 0
        self._said.clear()

    async def failed(self) -> None:
        """One more opening failed: do what is due, if anything is. Bounded by HELPER_SECONDS."""
        self._failures += 1
        due = step(self._recovery, self._failures)
        if due is Step.USB_RESET and self._usb is None:
            self._once("usb_reset_after does nothing: no USB device is known for this camera")
        elif due is not None:
            await self._do(due)

    async def _do(self, due: Step) -> None:
        usb = {} if due is Step.REBOOT or self._usb is None else {"usb": self._usb}
        try:
            refusal = await ask_helper(self._helper, {"do": due.value} | usb)
        except HelperMissing as error:
            self._once(f"{error}; recovery needs the helper: systemctl enable --now overshootd-helper.socket")
            return
        if refusal:
            self._once(f"{due.value} was not done: {refusal}")
            return
        done = "the machine reboots" if due is Step.REBOOT else f"its USB device {self._usb} was reset"
        why = f"{done}, for it could not be opened {self._failures} times in a row"
        self._log.warning(why)
        self._tell(why)

    def _once(self, trouble: str) -> None:
        if trouble not in self._said:
            self._said.add(trouble)
            self._log.error(trouble)
