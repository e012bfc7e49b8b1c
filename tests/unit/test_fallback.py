"""`transport: auto`: the native transport as long as it can be joined, and again after a while."""

from hypothesis import given
from hypothesis import strategies as st

from overshootd.publish.fallback import AGAIN_SECONDS, APART_SECONDS, NOT_JOINED, Fallback


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def failing(fallback: Fallback, clock: Clock, apart: float = APART_SECONDS) -> list[bool]:
    """What three failed joins say, so far apart."""
    said = []
    for _ in range(NOT_JOINED):
        said.append(fallback.not_joined())
        clock.now += apart
    clock.now -= apart
    return said


def fallen() -> tuple[Fallback, Clock]:
    clock = Clock()
    fallback = Fallback(clock)
    assert failing(fallback, clock) == [False, False, True]
    return fallback, clock


def test_a_room_server_that_restarts_and_refuses_many_joins_meanwhile_is_no_reason() -> None:
    clock = Clock()
    assert not any(failing(Fallback(clock), clock, apart=APART_SECONDS / 2 - 1))


def test_three_failed_joins_in_a_row_turn_to_the_legacy_transport() -> None:
    assert fallen()[0].now == "webrtc"


def test_a_join_that_works_starts_the_count_anew() -> None:
    clock = Clock()
    fallback = Fallback(clock)
    fallback.not_joined()
    clock.now += APART_SECONDS
    fallback.not_joined()
    fallback.joined()
    clock.now += APART_SECONDS
    assert not fallback.not_joined()


def test_the_native_transport_is_due_again_after_half_an_hour() -> None:
    fallback, clock = fallen()
    fallback.joined()
    since = clock.now
    clock.now = since + AGAIN_SECONDS - 1
    assert (fallback.now, fallback.seconds_left) == ("webrtc", 1.0)
    clock.now = since + AGAIN_SECONDS
    assert (fallback.now, fallback.seconds_left) == ("native", None)


def test_where_neither_can_be_joined_they_take_turns() -> None:
    fallback, clock = fallen()
    clock.now += APART_SECONDS
    assert failing(fallback, clock) == [False, False, True]
    assert fallback.now == "native"


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 2 * AGAIN_SECONDS)), max_size=50))
def test_it_is_told_exactly_when_the_way_changed_by_a_failure(events: list[tuple[bool, float]]) -> None:
    clock = Clock()
    fallback = Fallback(clock)
    for joined, wait in events:
        clock.now += wait
        before = fallback.now
        if joined:
            fallback.joined()
        else:
            assert fallback.not_joined() == (fallback.now != before)
