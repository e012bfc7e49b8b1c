"""What a webhook's answer means for a record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.errors import Refused, Rejected, Transient
from overshootd.sinks.answers import Answer, failure

WHERE = "https://example.com/hook"


def meant(status: int, body: str = "", **headers: str) -> Transient | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return failure(Answer(status, named, body), WHERE)


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ((200, 201, 202, 204, 299), type(None)),
        ((408, 425, 429, 500, 502, 503, 504, 599), Transient),
        ((301, 302, 307, 308, 401, 403, 404, 405, 407, 410, 415, 451), Refused),
        ((400, 409, 413, 422), Rejected),
    ],
)
def test_each_status_has_one_meaning(statuses: tuple[int, ...], kind: type[object]) -> None:
    assert {type(meant(status)) for status in statuses} == {kind}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (302, "redirected to https://elsewhere/x, which is not followed; set url to where it leads"),
        (401, "look at secret and headers, here and there, and at this machine's clock"),
        (404, "set url to one that it has"),
        (422, "it does not take this record"),
    ],
)
def test_the_text_says_who_answers_what_and_what_helps(status: int, words: str) -> None:
    told = str(meant(status, "no\nsuch\x00 field", location="https://elsewhere/x"))
    assert told == f"{WHERE} answers with HTTP {status} (no such field): {words}"


def test_only_a_conflict_is_certain_for_a_person_may_mend_what_the_others_say() -> None:
    rejected = {status: meant(status) for status in (400, 409, 413, 422)}
    assert {status for status, error in rejected.items() if isinstance(error, Rejected) and error.certain} == {409}


def test_a_long_answer_is_told_in_part() -> None:
    assert len(str(meant(500, "word " * 10_000))) < 300


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "99999999"}, 3600.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:29:00 GMT"}, 0.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:00", "date": "Wed, 21 Oct 2026 07:29:00 GMT"}, None),
    ],
)
def test_the_wish_of_the_server_counts_by_its_own_clock(headers: dict[str, str], seconds: float | None) -> None:
    error = meant(503, **headers)
    assert error is not None
    assert error.retry_after == seconds


@given(status=st.integers(0, 999), body=st.text(), value=st.text(), date=st.text())
def test_whatever_a_server_says_has_a_meaning(status: int, body: str, value: str, date: str) -> None:
    error = meant(status, body, retry_after=value, date=date, location=value)
    assert (error is None) == (200 <= status < 300)
