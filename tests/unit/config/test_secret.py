"""A secret shows itself only when asked, and is masked wherever it turns up all the same."""

import copy
import json
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from overshootd.config.secret import Redactor, Secret


class Holder(BaseModel):
    key: Secret


SECRET = Secret("hunter2")


@pytest.mark.parametrize(
    "shown",
    [
        str(SECRET), repr(SECRET), f"{SECRET}", f"{SECRET:>20}", f"{SECRET!r}", "%s" % SECRET,  # noqa: UP031
        str([SECRET]), str(Holder(key=SECRET)), repr(Holder(key=SECRET)), str(Holder(key=SECRET).model_dump()),
        Holder(key=SECRET).model_dump_json(), str(vars(Holder(key=SECRET))),
    ],
)  # fmt: skip
def test_it_masks_itself_however_it_is_shown(shown: str) -> None:
    assert "hunter2" not in shown
    assert "***" in shown


def test_it_is_never_pickled() -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(SECRET)


def test_copies_are_itself_and_values_compare() -> None:
    assert copy.deepcopy(SECRET) is copy.copy(SECRET) is SECRET
    assert Secret("hunter2") == SECRET != Secret("other")
    assert len({SECRET, Secret("hunter2")}) == 1


def test_text_does_not_become_a_secret_by_validation() -> None:
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"key": "a text"})
    assert caught.value.error_count() == 1


@given(st.lists(st.text(min_size=4, max_size=12), min_size=1, max_size=4), st.text(max_size=20), st.text(max_size=20))
def test_no_known_value_survives(values: list[str], before: str, after: str) -> None:
    redacted = Redactor(map(Secret, values)).redact(before + values[0] + after)
    assert all(value not in redacted for value in values if "***" not in value and value not in "***")


def test_of_secrets_that_contain_each_other_nothing_is_left() -> None:
    redactor = Redactor([Secret("abcd"), Secret("abcdefgh")])
    assert redactor.redact("x abcdefgh y abcd z") == "x *** y *** z"


def test_a_password_is_masked_inside_a_url_and_inside_json() -> None:
    password = 'p@ss/"wörd\\'
    redactor = Redactor([Secret(password)])
    assert redactor.redact(f"rtsp://u:{quote(password, safe='')}@host") == "rtsp://u:***@host"
    assert redactor.redact(json.dumps({"a": password})) == '{"a": "***"}'


def test_words_too_short_to_be_told_from_others_are_left_alone() -> None:
    assert Redactor([Secret("on"), Secret("")]).redact("an onion") == "an onion"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_tokens_are_masked_until_they_are_old_and_keys_for_ever() -> None:
    clock = Clock()
    redactor = Redactor([Secret("the-key")], clock)
    for number in range(200):  # as of fifty streams
        redactor.remember(Secret(f"token-{number:04}"))
    clock.now += Redactor.REMEMBERED_SECONDS - 1
    redactor.remember(Secret("token-9998"))
    assert redactor.redact("the-key token-0000 token-0199") == "*** *** ***"
    clock.now += 2
    redactor.remember(Secret("token-9999"))
    assert redactor.redact("the-key token-0000 token-9998 token-9999") == "*** token-0000 *** ***"


def test_a_token_that_comes_again_counts_from_then() -> None:
    clock = Clock()
    redactor = Redactor(clock=clock)
    for name in ("token-a", "token-b", "token-a", "token-c"):
        redactor.remember(Secret(name))
        clock.now += Redactor.REMEMBERED_SECONDS * 0.6
    assert redactor.redact("token-a token-b token-c") == "*** token-b ***"


def test_however_many_tokens_come_only_so_many_are_kept() -> None:
    redactor = Redactor(clock=Clock())
    for number in range(Redactor.REMEMBERED + 1):
        redactor.remember(Secret(f"token-{number:04}"))
    assert redactor.redact("token-0000 token-0001") == "token-0000 ***"
