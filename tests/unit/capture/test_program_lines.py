"""What programs say becomes lines that a log can bear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.capture.program.lines import BURST, LINE_BYTES, Bucket, Lines


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"dos\r\n\r\n\n  \n", ["dos"]),
        (b"frame=1\rframe=2\rframe=3\rno such device\n", ["no such device"]),
        (b"\x1b[1;31mERROR\x1b[0m \x07 of\tcolour\n", ["ERROR  of\tcolour"]),
        (b"caf\xc3\xa9 \xff\n", ["café �"]),
        (b"Input #0, rtsp, from 'rtsp://me:p@ss@cam.lan/1':\n", ["Input #0, rtsp, from 'rtsp://***@cam.lan/1':"]),
        (b"x" * 1000 + b"\nnext\n", ["x" * LINE_BYTES + "…", "next"]),
    ],
    ids=["two", "empty", "progress", "escapes", "encodings", "a login", "too long"],
)
def test_lines_are_what_a_person_would_have_read(said: bytes, lines: list[str]) -> None:
    assert Lines().feed(said) == lines


@given(st.lists(st.binary(max_size=40)))
def test_lines_do_not_depend_on_how_they_arrive(pieces: list[bytes]) -> None:
    lines, whole = Lines(), Lines()
    assert [line for piece in pieces for line in lines.feed(piece)] == whole.feed(b"".join(pieces))
    assert lines.rest() == whole.rest()


@given(st.lists(st.sampled_from([b"x" * 300, b"frame=1\r", b"\r", b"y"]), max_size=30))
def test_a_line_that_never_ends_is_not_kept(pieces: list[bytes]) -> None:
    lines = Lines()
    for piece in pieces:
        assert lines.feed(piece) == []
        assert len(lines._part) <= LINE_BYTES + 1
    assert len("".join(lines.rest())) <= LINE_BYTES + 1


def test_a_last_line_needs_no_end() -> None:
    lines = Lines()
    assert lines.feed(b"one\nlast words") == ["one"]
    assert lines.rest() == ["last words"]
    assert lines.rest() == []


def test_ten_lines_pass_at_once_then_one_a_second() -> None:
    bucket = Bucket()
    assert [bucket.take(1000.0) for _ in range(BURST + 3)] == [True] * BURST + [False] * 3
    assert bucket.told() == 3
    assert [bucket.take(1001.0 + n / 4) for n in range(8)] == [True, False, False, False, True, False, False, False]
    assert bucket.told() == 6
    assert bucket.told() == 0
    assert [bucket.take(5000.0) for _ in range(BURST + 1)] == [True] * BURST + [False]


@pytest.mark.parametrize("before", range(LINE_BYTES - 40, LINE_BYTES + 1))
def test_no_part_of_a_login_is_shown_that_the_cut_runs_through(before: int) -> None:
    said = b"x" * before + b" rtsp://user:SuperSecretPassword@10.0.0.7/stream\n"
    shown = " ".join(Lines().feed(said))
    assert not any(part in shown for part in ("user:", "Super", "Secret", "Password"))
