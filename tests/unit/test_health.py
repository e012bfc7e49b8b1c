"""Health of a publisher from its counters."""

from overshootd.publish.health import LIMIT, Counters, Health


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
    assert health.broken(Counters(10.0, responses=None, encoded=0, pushed=10)) is None
    assert health.broken(Counters(12.0, responses=7, encoded=10, pushed=12)) is None
    assert health.broken(Counters(12.0 + LIMIT, responses=None, encoded=0, pushed=40)) is not None
