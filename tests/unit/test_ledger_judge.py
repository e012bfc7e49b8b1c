"""The judge of the ledger convicts what is forged, and acquits what may happen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.judge import Acknowledged, Evidence, Sent, Window, verdict


def line(seq: int, stream: str = "one", *, uid: str = "", result: str = "", **more: object) -> bytes:
    record = {"type": "result", "uid": uid or f"u{stream}{seq}", "seq": seq, "stream": stream}
    return json.dumps(record | {"api": {"id": result or f"r{stream}{seq}"}} | more).encode()


def run(*texts: bytes, lives: int = 1) -> Evidence:
    """All is well: what was sent is in the file, acknowledged, and heard."""
    sent = [Sent(json.loads(text)["api"]["id"], float(number)) for number, text in enumerate(texts)]
    acknowledged = [Acknowledged(text, number + 0.1) for number, text in enumerate(texts)]
    return Evidence(sent, {"one": list(texts)}, acknowledged, list(texts), lives=lives)


GOOD = run(line(1), line(2), line(3))


def without(texts: Sequence[bytes], seq: int) -> list[bytes]:
    return [text for text in texts if json.loads(text)["seq"] != seq]


def test_nothing_is_wrong_where_all_is_there() -> None:
    assert verdict(GOOD) == []


def test_a_result_that_was_sent_and_is_nowhere_is_a_loss() -> None:
    (wrong,) = verdict(replace(GOOD, sent=[*GOOD.sent, Sent("r9", 2.5)]))
    assert "never reached the file" in wrong and "r9" in wrong


def test_what_was_sent_as_the_daemon_died_may_be_missing() -> None:
    sent = [*GOOD.sent, Sent("r9", 2.5)]
    assert verdict(replace(GOOD, sent=sent, unheard=[Window(2, 3)])) == []
    assert verdict(replace(GOOD, sent=sent, unheard=[Window(2.6, 3)])) != []


@pytest.mark.parametrize("seq", [1, 2])
def test_a_number_that_the_spool_gave_and_no_file_has_is_a_loss_whenever_it_was(seq: int) -> None:
    """Whatever the excuse: it was stored."""
    files = {"one": without(GOOD.files["one"], seq)}
    heard = without(GOOD.heard or (), seq)
    acknowledged = [one for one in GOOD.acknowledged if one.line in heard]
    (wrong,) = verdict(Evidence(GOOD.sent, files, acknowledged, heard, [Window(0, 9)]))
    assert wrong == f"was stored and is not in the file: one {seq}"


def test_what_the_broker_has_and_no_file_is_a_loss() -> None:
    wrong = verdict(replace(GOOD, files={"one": without(GOOD.files["one"], 3)}, unheard=[Window(0, 9)]))
    assert [text for text in wrong if text.startswith("was heard and is not in the file: one 3")]


def test_what_the_file_has_and_the_broker_never_acknowledged_is_a_loss() -> None:
    (wrong,) = verdict(replace(GOOD, acknowledged=GOOD.acknowledged[:2]))
    assert wrong.startswith("is in the file and not at the broker: one 3")


def test_what_was_acknowledged_and_not_heard_is_a_loss_unless_the_broker_forgot_it() -> None:
    deaf = replace(GOOD, heard=without(GOOD.heard or (), 2))
    (wrong,) = verdict(deaf)
    assert wrong.startswith("was acknowledged and not heard: one 2")
    assert verdict(replace(deaf, forgotten=[Window(1, 2)])) == []
    assert verdict(replace(deaf, forgotten=[Window(1.5, 2)])) != []


def test_the_same_record_may_come_twice_in_another_life() -> None:
    texts = [line(1), line(2), line(1), line(2), line(3)]
    assert verdict(replace(run(*texts, lives=2), heard=[*texts, line(2)])) == []


def test_a_file_that_goes_back_in_one_life_is_wrong() -> None:
    (wrong,) = verdict(run(line(1), line(2), line(2), lives=1))
    assert "goes back 1 times" in wrong


def test_a_new_record_behind_a_newer_one_is_wrong_in_any_life() -> None:
    (wrong,) = verdict(run(line(1), line(3), line(2), lives=2))
    assert wrong.startswith("out of order: one 2")


@pytest.mark.parametrize(
    ("forged", "same"),
    [
        (line(4, uid="uone3"), "uid"),
        (line(3, uid="other", result="other"), "seq"),
        (line(4, result="rone3"), "result"),
        (line(3, text="changed"), "uid"),
    ],
)
def test_two_records_that_should_be_one_are_wrong(forged: bytes, same: str) -> None:
    wrong = verdict(replace(run(line(1), line(2), line(3), forged, lives=2)))
    assert [text for text in wrong if text.endswith(f"have the same {same}")]


def test_a_number_that_the_subscriber_heard_of_another_record_is_wrong() -> None:
    """A crash must not give it out again."""
    assert verdict(replace(GOOD, heard=[*(GOOD.heard or ()), line(3, uid="other", result="other")])) != []


def test_streams_number_their_records_each_for_itself() -> None:
    good = replace(run(line(1), line(1, "two")), files={"one": [line(1)], "two": [line(1, "two")]})
    assert verdict(good) == []


@pytest.mark.parametrize("torn", [line(4)[:40], b"", b"\0\0\0", b"[]", b'{"seq": 4}'])
def test_what_is_no_record_is_wrong(torn: bytes) -> None:
    wrong = verdict(replace(GOOD, files={"one": [*GOOD.files["one"], torn]}))
    assert [text for text in wrong if "is no record" in text]


def test_of_the_same_wrong_only_a_few_are_told() -> None:
    wrong = verdict(replace(GOOD, sent=[Sent(str(number), 0.0) for number in range(100)]))
    assert len(wrong) < 10 and wrong[-1] == "… and 95 more"


@given(st.sets(st.integers(1, 20), min_size=1), st.integers(1, 20))
def test_whatever_is_taken_away_is_missed(seqs: set[int], last: int) -> None:
    whole = [line(seq) for seq in range(1, 21)]
    left = [text for seq, text in enumerate(whole, 1) if seq not in seqs]
    assert verdict(replace(run(*whole), files={"one": left}))
    assert verdict(replace(run(*whole), heard=left))
    assert verdict(replace(run(*whole[:last]))) == []
