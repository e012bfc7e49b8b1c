"""Of what is due no less is counted than came, whenever somebody asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.config.model import ClipProcessing, FrameProcessing
from overshootd.contracts import Count, Spent
from overshootd.meter import Meter
from overshootd.pacing import results_due

FRAMES = FrameProcessing(interval_seconds=2.0)
CLIPS = ClipProcessing(target_fps=6, clip_length_seconds=1.0, delay_seconds=2.0)


@dataclass
class Counts:
    """A tally of one stream, and the clock."""

    now: float = 100.0
    all: Count = field(default_factory=Count)

    def add(self, stream: str, count: Count) -> None:
        self.all += count

    def meter(self, processing: FrameProcessing | ClipProcessing) -> Meter:
        return Meter(self, "gate", partial(results_due, processing), lambda: self.now)


@pytest.mark.parametrize(
    ("processing", "seconds", "due"),
    [
        *((FRAMES, seconds, due) for seconds, due in [(0.0, 1), (1.9, 1), (2.0, 2), (59.9, 30)]),
        *((CLIPS, seconds, due) for seconds, due in [(0.0, 0), (0.9, 0), (1.0, 1), (3.9, 1), (4.0, 2)]),
    ],
)
def test_the_first_frame_is_due_at_once_and_a_clip_when_it_is_whole(
    processing: FrameProcessing | ClipProcessing, seconds: float, due: int
) -> None:
    assert results_due(processing, seconds) == due


@given(
    processing=st.sampled_from([FRAMES, CLIPS]),
    starting=st.floats(0.01, 30),
    results=st.integers(1, 20),
    look_at=st.sets(st.integers(0, 20)),
)
def test_never_more_came_than_was_due(
    processing: FrameProcessing | ClipProcessing, starting: float, results: int, look_at: set[int]
) -> None:
    counts = Counts()
    meter, length = counts.meter(processing), getattr(processing, "clip_length_seconds", 0.0)
    for number in range(results):
        counts.now = 100.0 + starting + length + 0.01 + number * (2.0 if processing is FRAMES else 3.0)
        meter.result(700)
        if number in look_at:
            meter.look(Spent(), 0)
        assert counts.all.received == number + 1 <= counts.all.due


def test_what_does_not_come_is_due_all_the_same() -> None:
    counts = Counts()
    meter = counts.meter(FRAMES)
    for _ in range(3):
        counts.now += 10.0
        meter.look(Spent(), 0)
    assert counts.all == Count(due=16)


def test_totals_of_the_session_are_told_once() -> None:
    counts = Counts()
    meter = counts.meter(FRAMES)
    meter.look(Spent(15.0, 0.5), 7000)
    meter.look(Spent(30.0, 0.75), 9000)
    assert (counts.all.seconds, counts.all.cents, counts.all.bytes_up) == (30.0, 0.75, 9000)
