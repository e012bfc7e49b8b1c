"""What a stream does after an attempt, and what its state looks like: the pure parts."""

import asyncio
import signal
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import CapturingLogger

from overshootd.controls import Asked, Control, Since
from overshootd.errors import (
    CameraLost,
    OvershootdError,
    Permanent,
    Portal,
    Refused,
    StreamGone,
    Transient,
    Unreachable,
)
from overshootd.records import Records
from overshootd.status import LONGEST_LINE, State, StreamState, status_line
from overshootd.stream import reason
from overshootd.supervisor import Pausable, StreamLife, delay
from overshootd.systemd import Ending, meaning
from tests.unit.attempt_parts import Paths


class Told:
    """Records that only remember."""

    def __init__(self) -> None:
        self.state = StreamState()
        self.entered: list[State] = []
        self.pauses: list[tuple[float, bool]] = []

    async def enter(self, state: State, why: str) -> None:
        self.state.state = state
        self.entered.append(state)

    def rested(self, since: float, *, synced: bool) -> None:
        self.pauses.append((since, synced))


def longest(_low: float, high: float) -> float:
    return high


def test_a_stream_that_is_gone_is_made_anew_at_once_but_not_in_a_loop() -> None:
    assert delay(StreamGone("expired"), 0, longest) == 0.0
    assert delay(StreamGone("expired"), 1, longest) > 0.0


def test_a_bad_key_is_asked_slowly_even_when_chance_says_at_once() -> None:
    assert delay(Refused("401"), 0, lambda low, _high: low) >= 30.0


def test_a_portal_is_asked_each_minute_and_a_bad_key_each_quarter_of_an_hour() -> None:
    assert delay(Portal("302"), 9, longest) == 60.0
    assert delay(Refused("401"), 9, longest) == 900.0


def test_the_servers_retry_after_wins_over_a_shorter_backoff() -> None:
    assert delay(Transient("503", retry_after=99.0), 0, longest) == 99.0


@given(st.integers(0, 10**9))
def test_the_delay_never_exceeds_its_cap(failures: int) -> None:
    assert delay(Transient("gone"), failures, longest) <= 30.0


@given(st.integers(0, 10**9))
def test_while_nobody_answers_a_path_that_comes_back_is_found_within_seconds(failures: int) -> None:
    assert delay(Unreachable("no route"), failures, longest) <= 5.0


async def test_an_attempt_that_fails_in_the_moment_of_the_end_is_followed_by_no_other() -> None:
    tried = 0

    async def attempt() -> None:
        nonlocal tried
        tried += 1
        raise Transient("its task group told of this alone")

    life = StreamLife(attempt, cast(Records, Told()), Paths(), lambda: True, CapturingLogger())
    with pytest.raises(asyncio.CancelledError):
        await life.run()
    assert tried == 1


async def test_each_kind_of_failure_is_counted_by_itself() -> None:
    """A night without an answer must not make the first refusal wait for a quarter of an hour."""
    errors, waits = [*[Unreachable("no route")] * 5, StreamGone("404"), Permanent("422")], list[float]()

    async def attempt() -> None:
        raise errors.pop(0)

    class Timed(StreamLife):
        async def _pause(self, seconds: float, error: Exception, changes: int) -> bool:
            waits.append(seconds)
            return False

    await Timed(attempt, cast(Records, Told()), Paths(), lambda: False, CapturingLogger()).run()
    assert waits[-1] == 0.0, "a stream that is gone is made anew at once"


class Lives:
    """Lives until it is told how to end. `ends`: how its lives ended; `let_go`: how often."""

    def __init__(self, *, paused: bool = False) -> None:
        self.control, self.told = Control("Who?"), Told()
        self.control.set_paused(paused)
        self.begun, self.ended, self.let_go = asyncio.Semaphore(0), list[str](), 0
        self.as_told: asyncio.Queue[State] = asyncio.Queue(9)

    async def live(self) -> None:
        self.begun.release()
        try:
            await self.told.enter(await self.as_told.get(), "so")
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # the DELETE
            self.ended.append("cancelled")
            raise
        self.ended.append("returned")

    def give_up(self) -> None:
        self.let_go += 1

    def run(self) -> asyncio.Task[None]:
        pausable = Pausable(self.live, self.control, cast(Records, self.told), self.give_up)
        return asyncio.create_task(pausable.run())


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_pause_ends_the_stream_in_order_and_a_resumption_begins_it_anew() -> None:
    lives = Lives()
    async with asyncio.timeout(5):
        running = lives.run()
        await lives.begun.acquire()
        lives.control.set_paused(True)
        await settled()
        assert (lives.ended, lives.told.state.state, lives.let_go) == (["cancelled"], State.PAUSED, 1)
        lives.control.set_paused(False)
        await lives.begun.acquire()
        assert lives.told.entered == [State.PAUSED, State.STARTING]
        await lives.as_told.put(State.ENDED)
        await running


async def test_a_stream_that_is_paused_at_the_start_is_not_begun_and_not_taken_up() -> None:
    lives = Lives(paused=True)
    running = lives.run()
    await settled()
    assert (lives.begun.locked(), lives.let_go, lives.told.entered) == (True, 1, [State.PAUSED])
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_a_pause_that_an_earlier_process_began_is_told_from_its_begin() -> None:
    lives = Lives()
    lives.control.take_up(Asked(paused=True, since=Since(1_790_000_000.0, synced=False)))
    async with asyncio.timeout(5):
        running = lives.run()
        await settled()
        assert lives.told.pauses == [], "not before it is over"
        lives.control.set_paused(False)
        await lives.begun.acquire()
        assert lives.told.pauses == [(1_790_000_000.0, False)]
        await lives.as_told.put(State.ENDED)
        await running


async def test_a_stream_that_stopped_for_good_tries_again_with_another_prompt() -> None:
    lives = Lives()
    async with asyncio.timeout(5):
        running = lives.run()
        await lives.as_told.put(State.STOPPED)
        await settled()
        assert not running.done()
        lives.control.set_prompt("What?")
        await lives.as_told.put(State.ENDED)
        await running
    assert lives.ended == ["returned", "returned"]


async def test_the_end_of_the_daemon_waits_until_a_stream_that_is_being_paused_has_closed() -> None:
    lives = Lives()
    async with asyncio.timeout(5):
        running = lives.run()
        await lives.begun.acquire()
        lives.control.set_paused(True)
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
    assert (running.cancelled(), lives.ended) == (True, ["cancelled"])


async def test_an_attempt_that_fails_in_the_moment_of_a_pause_is_followed_by_no_other() -> None:
    """As above: a task group may forget that it was cancelled."""
    lives, tried = Lives(), 0

    async def attempt() -> None:
        nonlocal tried
        tried += 1
        lives.control.set_paused(True)
        raise Transient("its task group told of this alone")

    life = StreamLife(attempt, cast(Records, lives.told), Paths(), lambda: lives.control.paused, CapturingLogger())
    pausable = Pausable(life.run, lives.control, cast(Records, lives.told), lives.give_up)
    running = asyncio.create_task(pausable.run())
    await settled()
    running.cancel()
    await asyncio.wait([running])
    assert (tried, lives.told.state.state) == (1, State.PAUSED)


@given(st.integers(0, 10**9))
def test_a_stream_that_gave_results_is_made_anew_within_seconds(failures: int) -> None:
    assert delay(StreamGone("the connection was lost"), failures, longest, came=True) <= 5.0
    assert delay(Refused("401"), failures, longest, came=True) >= 30.0


def test_a_stream_that_lost_its_camera_is_there_when_the_camera_is_back_but_never_in_a_loop() -> None:
    """It waits for the camera, not for a backoff of its own; one that is lost at every attempt is another matter."""
    assert delay(CameraLost("unplugged"), 0, longest) <= 0.1
    assert delay(CameraLost("unplugged"), 3, longest) <= 0.5
    assert sum(delay(CameraLost("flaps"), failures, longest) for failures in range(60)) > 60


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([Transient("socket"), Refused("401")], Refused),
        ([StreamGone("404"), CameraLost("unplugged")], StreamGone),
        ([Transient("a"), Permanent("422")], Permanent),
    ],
)
def test_of_several_failures_the_one_that_asks_for_most_is_the_reason(
    errors: list[Exception], expected: type[OvershootdError]
) -> None:
    assert type(reason(BaseExceptionGroup("", errors))) is expected


def test_a_failure_in_a_nested_group_is_found() -> None:
    nested = ExceptionGroup("", [ExceptionGroup("", [Transient("left the room")])])
    assert isinstance(reason(nested), Transient)


def test_an_error_of_our_own_is_not_taken_for_a_failure_of_the_network() -> None:
    group = ExceptionGroup("", [ZeroDivisionError()])
    assert reason(group) is group


@pytest.mark.parametrize(
    ("signo", "sender", "ending"),
    [
        (signal.SIGTERM, 1, Ending.END),
        (signal.SIGINT, 4321, Ending.END),
        (signal.SIGUSR1, 1, Ending.RESTART),
        (signal.SIGTERM, 1234, Ending.RESTART),  # what the SDK does after a panic
    ],
)
def test_who_sends_which_signal_decides_between_end_and_restart(signo: int, sender: int, ending: Ending) -> None:
    assert meaning(signo, sender, ourselves=1234) is ending


def test_the_status_line_counts_streams_and_says_what_is_wrong() -> None:
    line = status_line({"a": StreamState(State.LIVE), "b": StreamState(State.WAITING, "keepalive: 503")}, {})
    assert line == "1 live, 1 waiting; b: keepalive: 503"


@given(st.dictionaries(st.text(), st.builds(StreamState, st.sampled_from(State), st.text()), max_size=50))
def test_the_status_line_stays_one_short_line(streams: dict[str, StreamState]) -> None:
    line = status_line(streams, {})
    assert len(line) <= LONGEST_LINE
    assert "\n" not in line
