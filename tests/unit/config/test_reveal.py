"""A secret that is changed while the daemon runs."""

from pathlib import Path

import pytest

from overshootd.config.pieces import SecretRef
from overshootd.config.reveal import revealer
from overshootd.config.secret import Secret
from overshootd.errors import ConfigError


def test_it_is_read_anew_each_time_and_masked_before_it_is_given(tmp_path: Path) -> None:
    hidden: list[Secret] = []
    reveal, ref = revealer({}, hidden.append), SecretRef(file=str(tmp_path / "word"))
    for word in ("one", "another"):
        (tmp_path / "word").write_text(f"{word}\n")
        assert reveal(ref) == hidden[-1] == Secret(word)


def test_it_may_be_in_the_environment_or_a_credential(tmp_path: Path) -> None:
    (tmp_path / "mqtt").write_text("a")
    reveal = revealer({"B": "b", "CREDENTIALS_DIRECTORY": str(tmp_path)}, lambda _: None)
    assert [reveal(ref) for ref in (SecretRef(credential="mqtt"), SecretRef(env="B"))] == [Secret("a"), Secret("b")]


def test_one_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="word: no such file"):
        revealer({}, lambda _: None)(SecretRef(file=str(tmp_path / "word")))
