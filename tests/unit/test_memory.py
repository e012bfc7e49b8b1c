"""Whether too much memory is worth a restart: the pure parts."""

from hypothesis import given
from hypothesis import strategies as st

from overshootd.memory import WORTH, YOUNGEST_SECONDS, Verdict, verdict, words

OLD = YOUNGEST_SECONDS
sizes = st.floats(1, 1e5)
ages = st.floats(0, 1e9)


def test_a_process_that_grew_past_its_limit_is_restarted() -> None:
    assert verdict(701, 700, settled=200, age=OLD) is Verdict.RESTART


def test_up_to_the_limit_nothing_is_done_however_old_it_is() -> None:
    assert verdict(700, 700, settled=100, age=1e9) is Verdict.FINE


def test_a_limit_below_what_is_needed_is_told_instead_of_restarting_for_ever() -> None:
    assert verdict(210, 100, settled=200, age=1e9) is Verdict.NEEDED
    assert "raise it above 250" in words(Verdict.NEEDED, 210, 100, 200)


@given(sizes, sizes, sizes, ages)
def test_a_restart_comes_at_most_once_an_hour_and_frees_something(
    used: float, limit: float, settled: float, age: float
) -> None:
    if verdict(used, limit, settled=settled, age=age) is Verdict.RESTART:
        assert age >= YOUNGEST_SECONDS and used > limit and used >= WORTH * settled


@given(sizes, sizes)
def test_whatever_the_need_growth_without_end_is_ended(limit: float, settled: float) -> None:
    assert verdict(limit + WORTH * settled, limit, settled=settled, age=OLD) is Verdict.RESTART


def test_what_is_told_names_the_key_and_both_figures() -> None:
    for what in (Verdict.EARLY, Verdict.NEEDED, Verdict.RESTART):
        assert "812 MB" in words(what, 812, 700, 200) and "limits.memory_mb allows (700 MB)" in words(
            what, 812, 700, 200
        )
