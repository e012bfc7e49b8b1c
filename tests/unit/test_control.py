"""The control socket's lines and places."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.config.secret import Redactor, Secret
from overshootd.control.address import LONGEST, asked_at, listening_at, too_long
from overshootd.control.wire import (
    ANSWER_BYTES,
    REQUEST_BYTES,
    NotUnderstood,
    Refusal,
    done_line,
    read_answer,
    read_request,
    redacted,
    refusal_line,
    request_line,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=3)


def same(text: str) -> str:
    return text


@given(st.text(), OBJECTS)
def test_what_is_asked_is_what_is_read(command: str, words: dict[str, object]) -> None:
    line = request_line(command, words)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert read_request(line)[1] == {"command": command} | words


@given(OBJECTS)
def test_what_is_answered_is_what_is_read(answer: dict[str, object]) -> None:
    line = done_line(answer, same)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert read_answer(line) == answer


@given(st.text())
def test_a_refusal_comes_in_the_daemons_words(why: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_answer(refusal_line(why, same, commands=["status"]))
    assert str(refused.value) == why


@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()) | st.just(b"[" * 100_000))
def test_any_other_line_is_not_understood(line: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read_request(line)
    with pytest.raises(NotUnderstood):
        read_answer(line)


def test_more_than_the_other_side_reads_is_not_sent() -> None:
    with pytest.raises(NotUnderstood):
        request_line("prompt", {"prompt": "x" * REQUEST_BYTES})
    with pytest.raises(NotUnderstood):
        done_line({"picture": "x" * ANSWER_BYTES}, same)


@pytest.mark.parametrize("secret", ["hunter2", "live", "null", 'a"b\\c', "state"])
def test_secrets_are_masked_in_every_text_of_an_answer_and_spoil_nothing(secret: str) -> None:
    answer = {"state": "x", "none": None, "list": [{"why": f"no answer from rtsp://u:{secret}@cam"}, (secret,)]}
    read = read_answer(done_line(answer, Redactor([Secret(secret)]).redact))
    assert read == {"state": "x", "none": None, "list": [{"why": "no answer from rtsp://u:***@cam"}, ["***"]]}


@given(st.binary())
def test_bytes_come_in_base64_whatever_letters_a_password_has(content: bytes) -> None:
    line = done_line({"base64": content, "why": "A"}, lambda text: text.replace("A", "***"))
    answer = read_answer(line)
    assert base64.b64decode(answer["base64"], validate=True) == content
    assert answer["why"] == "***"


@given(VALUES)
def test_where_nothing_is_secret_nothing_changes(value: object) -> None:
    assert redacted(value, same) == value


def test_the_daemon_listens_where_systemd_lets_it_and_else_beside_its_state() -> None:
    state = Path("/var/lib/overshootd")
    assert listening_at({}, state) == state / "control.sock"
    assert listening_at({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, state) == Path("/run/a/control.sock")


@pytest.mark.parametrize("environ", [{}, {"RUNTIME_DIRECTORY": "/run/a"}, {"RUNTIME_DIRECTORY": "/run/overshootd"}])
def test_a_daemon_is_looked_for_where_it_may_listen_each_place_once(environ: dict[str, str]) -> None:
    places = asked_at(environ, Path("/srv/state"))
    assert listening_at(environ, Path("/srv/state")) in places
    assert Path("/run/overshootd/control.sock") in places
    assert len(set(places)) == len(places)


def test_a_path_is_measured_in_bytes() -> None:
    assert not too_long(Path("/" + "x" * (LONGEST - 1)))
    assert "107 bytes, this one has 108" in too_long(Path("/" + "x" * LONGEST))
    assert too_long(Path("/" + "é" * 60))
