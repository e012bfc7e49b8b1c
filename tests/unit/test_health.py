"""Health of a publisher from its counters."""

from hypothesis import given
from hypothesis import strategies as st

from overshootd.publish.health import LIMIT, LOOKS, NARROW_SECONDS, Counters, Health, Losses


def test_frames_that_nobody_answers_are_a_broken_path() -> None:
    health = Health(0.0)
    assert health.broken(Counters(1.0, responses=5, encoded=1, pushed=1)) is None
    why = health.broken(Counters(1.0 + LIMIT, responses=5, encoded=30, pushed=30))
    assert why is not None
    assert "media path" in why


def test_an_answered_path_with_frames_encoded_stays_healthy() -> None:
    health = Health(0.0)
    seen = [health.broken(Counters(float(t), responses=t, encoded=t, pushed=t)) for t in range(0, 300, 5)]
    assert set(seen) == {None}


def test_frames_accepted_but_never_encoded_are_told() -> None:
    health = Health(0.0)
    seen = [health.broken(Counters(float(t), responses=t, encoded=0, pushed=t)) for t in range(0, 60, 5)]
    assert "none encoded" in str(seen[-1])


def test_a_camera_that_gives_nothing_is_not_the_publishers_fault() -> None:
    health = Health(0.0)
    seen = [health.broken(Counters(float(t), responses=t, encoded=3, pushed=3)) for t in range(0, 300, 5)]
    assert set(seen) == {None}


def test_no_stats_for_longer_than_the_limit_is_broken_and_a_short_reconnection_is_not() -> None:
    health = Health(0.0)
    assert health.broken(Counters(LIMIT / 2, responses=None, encoded=0, pushed=10)) is None
    assert health.broken(Counters(12.0, responses=7, encoded=10, pushed=12)) is None
    assert health.broken(Counters(12.0 + LIMIT, responses=None, encoded=0, pushed=40)) is not None


def test_a_keyframe_every_other_second_is_healthy() -> None:
    health = Health(0.0)
    seen = [health.broken(Counters(t / 2, responses=t, encoded=t // 4, pushed=t // 4)) for t in range(600)]
    assert set(seen) == {None}


def test_what_was_offered_before_the_track_was_published_is_no_loss() -> None:
    losses = Losses(0.0)
    assert [losses.look(float(t), taken=4 + t, sent=t) for t in range(100)] == [0] * 100


def test_frames_that_were_taken_and_not_sent_are_found_and_counted() -> None:
    losses = Losses(0.0)
    found = [losses.look(float(t), taken=30 * t, sent=30 * t - (7 if t >= 10 else 0)) for t in range(20)]
    assert sum(found) == losses.total == 7
    assert found[10 + LOOKS - 1] == 7


def test_a_frame_that_is_late_once_is_no_loss() -> None:
    losses = Losses(0.0)
    found = [losses.look(float(t), taken=30 * t, sent=30 * t - (t == 10)) for t in range(20)]
    assert found == [0] * 20


def test_a_reconnection_is_no_loss() -> None:
    losses = Losses(0.0)
    before = [(30 * t, 30 * t) for t in range(10)]
    after = [(300 + 30 * t, 30 * t) for t in range(10)]
    counters: list[tuple[int, int | None]] = [*before, (300, None), *after]
    assert sum(losses.look(float(t), taken, sent) for t, (taken, sent) in enumerate(counters)) == 0


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=LOOKS, max_size=100))
def test_all_that_is_lost_is_counted_in_the_end(frames: list[tuple[int, int]]) -> None:
    losses, taken, sent = Losses(0.0), 0, 0
    for t in range(LOOKS):
        losses.look(float(t), 0, 0)
    for t, (more, lost) in enumerate(frames):
        taken, sent = taken + more, sent + max(more - lost, 0)
        losses.look(float(t), taken, sent)
    for t in range(LOOKS):
        losses.look(float(t), taken, sent)
    assert losses.total == taken - sent


def test_a_path_that_takes_less_than_half_is_told() -> None:
    losses = Losses(0.0)
    told = []
    for t in range(100):
        losses.look(float(t), taken=6 * t, sent=2 * t)
        told.append(losses.narrow(float(t), 6 * t))
    assert next(t for t, why in enumerate(told) if why) <= 2 * NARROW_SECONDS
    assert "were not sent within 30 s" in str(next(filter(None, told)))


def test_a_path_with_a_hiccup_is_wide_enough() -> None:
    losses = Losses(0.0)
    for t in range(200):
        losses.look(float(t), taken=6 * t, sent=6 * t - 40 * (t > 50))
        assert losses.narrow(float(t), 6 * t) is None
