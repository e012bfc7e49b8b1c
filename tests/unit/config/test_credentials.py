"""Secrets come from credentials, files and the environment, and what is wrong with them is said without them."""

import os
from pathlib import Path

import pytest

from overshootd.config.credentials import read_key, read_password
from overshootd.config.pieces import SecretRef
from overshootd.config.secret import Secret
from overshootd.errors import ConfigError


def test_a_credential_is_a_file_in_systemds_directory(tmp_path: Path) -> None:
    (tmp_path / "api_key").write_text("the-key\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_key(SecretRef(credential="api_key"), Path("/"), environ) == Secret("the-key")


def test_a_relative_file_starts_at_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the-key\r\n")
    assert read_key(SecretRef(file="key"), tmp_path, {}) == Secret("the-key")


def test_white_space_around_a_secret_is_none_of_it(tmp_path: Path) -> None:
    """It would stand in a header, which HTTP clients refuse at every attempt."""
    (tmp_path / "key").write_text("\n the-key\t \r\n")
    assert read_key(SecretRef(file="key"), tmp_path, {}) == Secret("the-key")


def test_a_variable_of_the_environment() -> None:
    assert read_key(SecretRef(env="KEY"), Path("/"), {"KEY": "the-key"}) == Secret("the-key")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"hunter2\nhunter2\n", "visible ASCII"),
        (b"hunter2 hunter2", "visible ASCII"),
        (b"hunter2\x00", "visible ASCII"),
        (b"hunter2\xff", "visible ASCII"),
        ("hunter2\u00fc".encode(), "visible ASCII"),
        (b"hunter2" * 10_000, "is larger than 16 KiB"),
    ],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_key(SecretRef(file="key"), tmp_path, {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        (SecretRef(file="none"), "none: no such file"),
        (SecretRef(file="."), "cannot be read: Is a directory"),
        (SecretRef(env="NONE"), "the environment variable NONE is not set"),
        (SecretRef(env="EMPTY"), "the environment variable EMPTY is empty"),
        (SecretRef(credential="none"), "none: no such file"),
        (SecretRef(credential="../key"), "a plain file name"),
        (SecretRef(credential=".."), "a plain file name"),
    ],
)
def test_a_secret_that_is_not_there(tmp_path: Path, ref: SecretRef, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_key(ref, tmp_path, {"EMPTY": "", "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert said in str(caught.value)


@pytest.mark.timeout(10)
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    with pytest.raises(ConfigError, match="cannot be read: a pipe, socket or device, not a regular file"):
        read_key(SecretRef(file="key"), tmp_path, {})


def test_outside_a_unit_a_credential_names_the_other_ways() -> None:
    with pytest.raises(ConfigError, match="CREDENTIALS_DIRECTORY is not set") as caught:
        read_key(SecretRef(credential="api_key"), Path("/"), {})
    assert "LoadCredential=api_key:PATH" in str(caught.value)


@pytest.mark.parametrize("password", ["correct horse", "p\u00e4ss", "p@ss:w/rd?#", "\u5bc6\u7801", "ovs_x"])
def test_a_camera_s_password_may_be_any_line_of_text(tmp_path: Path, password: str) -> None:
    (tmp_path / "password").write_text(f"{password}\n", encoding="utf-8")
    assert read_password(SecretRef(file="password"), tmp_path, {}) == Secret(password)
    assert read_password(SecretRef(env="P"), tmp_path, {"P": password}) == Secret(password)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n", "is empty"),
        (b"hunter2\nhunter2", "a password is one line of UTF-8 text"),
        (b"hunter2\x00", "a password is one line of UTF-8 text"),
        (b"hunter2\xff", "a password is one line of UTF-8 text"),
    ],
)
def test_a_file_that_holds_no_password(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "password").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_password(SecretRef(file="password"), tmp_path, {})
    assert "hunter2" not in str(caught.value)
