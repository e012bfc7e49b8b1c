"""Which version is spoken next."""

from overshootd.errors import Refused, Unreachable
from overshootd.mqtt.dialect import Dialect
from overshootd.mqtt.reasons import NoAnswer, Unsupported


def test_what_is_configured_stands() -> None:
    for version in ("5", "3.1.1"):
        dialect = Dialect(version)
        dialect.failed(Unsupported(""))
        dialect.failed(NoAnswer(""))
        assert dialect.now == version


def test_a_broker_that_says_so_is_never_asked_for_it_again() -> None:
    dialect = Dialect("auto")
    assert dialect.now == "5"
    dialect.failed(Unsupported(""))
    assert dialect.now == "3.1.1"
    dialect.lost()
    assert dialect.now == "3.1.1"


def test_a_broker_that_just_closes_is_tried_in_turns() -> None:
    dialect = Dialect("auto")
    said = []
    for _ in range(4):
        said.append(dialect.now)
        dialect.failed(NoAnswer(""))
    assert said == ["5", "3.1.1", "5", "3.1.1"]


def test_a_broker_that_closed_once_is_not_held_to_it() -> None:
    """It may have been about to restart."""
    dialect = Dialect("auto")
    dialect.failed(NoAnswer(""))
    dialect.lost()
    assert dialect.now == "5"


def test_nothing_else_changes_it() -> None:
    dialect = Dialect("auto")
    dialect.failed(Unreachable(""))
    dialect.failed(Refused(""))
    assert dialect.now == "5"


def test_a_version_that_is_not_spoken_is_worth_a_word_where_no_other_is_left() -> None:
    dialect = Dialect("auto")
    assert [dialect.failed(Unsupported("")) for _ in range(3)] == [False, True, True]
    dialect.lost()
    assert not dialect.failed(Unsupported(""))
    assert Dialect("5").failed(Unsupported(""))
