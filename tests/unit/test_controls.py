"""What may be asked of a running stream, and which of it still counts under another configuration."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.controls import (
    LATEST,
    LONGEST_PROMPT,
    NOTHING,
    Asked,
    Control,
    Since,
    asking,
    decode,
    digest,
    encode,
    valid,
)
from overshootd.errors import OvershootdError
from overshootd.statefile import Unusable

PROMPTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50).filter(str.strip)
SINCE = st.none() | st.builds(Since, st.floats(0, LATEST), st.booleans())
ASKED = st.builds(Asked, st.booleans(), PROMPTS | st.just(""), st.text(max_size=5), SINCE)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), ASKED, max_size=4))
def test_what_is_written_is_read_again(asked: dict[str, Asked]) -> None:
    assert decode(encode(asked)) == asked


@given(ASKED, PROMPTS, PROMPTS)
def test_another_prompt_counts_until_the_configured_one_changes(asked: Asked, prompt: str, configured: str) -> None:
    wanted = asking(asked, prompt, configured)
    assert (valid(wanted, configured).prompt or configured) == prompt
    assert valid(wanted, configured + "!").prompt == ""
    assert valid(wanted, configured + "!").paused == asked.paused, "an edited prompt ends no pause"


def test_the_configured_prompt_is_no_wish() -> None:
    assert asking(Asked(prompt="other", instead_of="x"), "Who?", "Who?") == NOTHING


@pytest.mark.parametrize("prompt", ["", " \n", "\ud800", "x" * (LONGEST_PROMPT + 1)])
def test_what_no_model_can_be_asked_is_refused_and_changes_nothing(prompt: str) -> None:
    control = Control("Who?")
    with pytest.raises(OvershootdError, match="the prompt "):
        control.set_prompt(prompt)
    assert control.prompt == "Who?"


def file_with_since(since: bytes) -> bytes:
    stream = b'{"paused": true, "prompt": "", "instead_of": "", "since": ' + since + b"}"
    return b'{"version": 1, "streams": {"a": ' + stream + b"}}"


def test_a_pause_that_an_older_overshootd_kept_is_one() -> None:
    kept = decode(b'{"version": 1, "streams": {"a": {"paused": true, "prompt": "", "instead_of": ""}}}')
    assert kept == {"a": Asked(paused=True)}


def test_a_pause_that_is_asked_for_twice_began_the_first_time() -> None:
    control = Control("Who?", synced=lambda: True)
    control.set_paused(True)
    first = control.asked.since
    control.set_paused(True)
    assert control.asked.since is first is not None and first.synced
    control.set_paused(False)
    assert control.asked == NOTHING


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (b'{"version": 2, "streams": {}}', "newer"),
        (b'{"version": 1, "streams": []}', "corrupt"),
        (b'{"version": 1, "streams": {"a": {"paused": 1, "prompt": "", "instead_of": ""}}}', "corrupt"),
        (b'{"version": 1, "streams": {"a": {"paused": true, "prompt": " ", "instead_of": ""}}}', "corrupt"),
        (file_with_since(b"1.0"), "corrupt"),
        (file_with_since(b'{"at": NaN, "synced": true}'), "corrupt"),
        (file_with_since(b'{"at": 1e12, "synced": true}'), "corrupt"),
        (b"[" * 100_000, "corrupt"),
        (b"\0\0\0", "corrupt"),
    ],
)
def test_what_is_no_such_file_says_so(content: bytes, suffix: str) -> None:
    with pytest.raises(Unusable) as raised:
        decode(content)
    assert raised.value.suffix == suffix


async def test_who_waits_learns_of_each_change_once_it_is_what_was_waited_for() -> None:
    control = Control("Who?")
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        paused = tasks.create_task(control.until_paused(True))
        prompt = tasks.create_task(control.other_prompt("Who?"))
        await asyncio.sleep(0)
        control.set_paused(True)
        await paused
        assert not prompt.done()
        control.set_prompt("What?")
        assert await prompt == "What?"
        await control.until_paused(True)  # what is so already is not waited for


def test_the_digest_tells_prompts_apart() -> None:
    assert digest("Who?") != digest("who?")
