"""What `snapshot` asks a daemon, and what it makes of the answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.control.picture import (
    COMMAND,
    JPEG_BYTES,
    LONGEST_SECONDS,
    Asked,
    NotHad,
    had,
    not_had,
    read_picture,
    read_words,
    words,
)
from overshootd.control.server import Bounds
from overshootd.control.wire import NotUnderstood, done_line, read_answer, read_request, request_line


def same(text: str) -> str:
    return text


@given(st.text(), st.floats(0, LONGEST_SECONDS, exclude_min=True), st.text())
def test_what_is_asked_for_is_what_is_read(name: str, seconds: float, fingerprint: str) -> None:
    asked = Asked(name, seconds, fingerprint)
    assert read_words(read_request(request_line(COMMAND, words(asked)))[1]) == asked


def test_a_name_is_enough() -> None:
    assert read_words({"name": "yard"}) == Asked("yard")


@given(st.floats(LONGEST_SECONDS, 1e300))
def test_nobody_is_waited_for_so_long_that_no_reason_comes_back(seconds: float) -> None:
    assert read_words({"name": "yard", "timeout": seconds}).seconds < Bounds().answer


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({}, "name"),
        ({"name": 1}, "name"),
        *(({"name": "a", "timeout": value}, "timeout") for value in (0, -1, True, "1", None, float("nan"), 1e999)),
        ({"name": "a", "fingerprint": None}, "fingerprint"),
    ],
)
def test_wrong_words_are_said_to_be(request_: dict[str, object], why: str) -> None:
    with pytest.raises(NotUnderstood, match=f"^{why}: expected"):
        read_words(request_)


@given(st.binary())
def test_the_picture_comes_as_it_was(content: bytes) -> None:
    assert read_picture(read_answer(done_line(had(content, 64, 48), same))) == content


def test_the_largest_picture_fits_into_an_answer() -> None:
    content = bytes(JPEG_BYTES)
    assert read_picture(read_answer(done_line(had(content, 7680, 4320), same))) == content


def test_why_the_daemon_does_not_have_it_comes_in_its_words() -> None:
    with pytest.raises(NotHad, match=r"^closed$"):
        read_picture(read_answer(done_line(not_had("closed"), same)))


@pytest.mark.parametrize(
    "answer",
    [{}, {"type": "image/png", "base64": ""}, {"type": "image/jpeg"}, {"type": "image/jpeg", "base64": "é!"}],
)
def test_the_answer_of_another_version_is_not_understood(answer: dict[str, object]) -> None:
    with pytest.raises(NotUnderstood, match="has no picture"):
        read_picture(answer)
