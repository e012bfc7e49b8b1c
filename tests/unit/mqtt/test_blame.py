"""Who sends alone at the end of two connections running is to blame for it, whoever else does so at one of them."""

from __future__ import annotations

from overshootd.mqtt.blame import Blame

FIRST, SECOND, THIRD = object(), object(), object()


def test_a_message_at_which_two_connections_running_end_is_to_blame_among_others() -> None:
    blame = Blame()
    assert [blame.at_end(FIRST, payload) for payload in (b"x", b"a", b"b")] == [False] * 3
    assert [blame.at_end(SECOND, payload) for payload in (b"c", b"x", b"d")] == [False, True, False]


def test_one_that_is_told_twice_of_one_connection_is_not() -> None:
    blame = Blame()
    assert [blame.at_end(FIRST, b"x"), blame.at_end(FIRST, b"x")] == [False, False]


def test_nor_is_one_that_was_not_there_when_the_last_one_ended() -> None:
    blame = Blame()
    blame.at_end(FIRST, b"x")
    blame.at_end(SECOND, b"a")
    assert not blame.at_end(THIRD, b"x")
