"""When a camera that cannot be opened is worth more than opening it again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from overshootd.capture.recovery import Step, step, usb_of
from overshootd.config.cameras import CommandCamera, Recovery, RtspCamera

resets = st.none() | st.integers(2, 50)
reboots = st.none() | st.integers(10, 50)


@given(st.integers(0, 10**6))
def test_nothing_is_done_unless_it_was_asked_for(failures: int) -> None:
    assert step(Recovery(), failures) is None


def test_each_step_comes_again_after_as_many_failures_and_a_reboot_goes_first() -> None:
    ladder = Recovery(usb_reset_after=4, reboot_after=12)
    taken = {failures: step(ladder, failures) for failures in range(25)}
    assert {failures: due for failures, due in taken.items() if due} == {
        4: Step.USB_RESET,
        8: Step.USB_RESET,
        12: Step.REBOOT,
        16: Step.USB_RESET,
        20: Step.USB_RESET,
        24: Step.REBOOT,
    }


@given(resets, reboots, st.integers(0, 200))
def test_no_step_comes_before_its_time(reset: int | None, reboot: int | None, failures: int) -> None:
    due = step(Recovery(usb_reset_after=reset, reboot_after=reboot), failures)
    if due is Step.REBOOT:
        assert reboot is not None and failures >= reboot
    if due is Step.USB_RESET:
        assert reset is not None and failures >= reset


def test_what_is_not_on_the_usb_has_no_name_there() -> None:
    assert usb_of(CommandCamera(type="command", argv=("cat",), format="h264")) is None
    assert usb_of(RtspCamera(type="rtsp", url="rtsp://192.168.1.20/stream")) is None
