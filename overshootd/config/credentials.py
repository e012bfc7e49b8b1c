"""Secrets from where they are kept: systemd credentials, files, environment variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from overshootd.config.pieces import SecretRef
from overshootd.config.regular import read_regular
from overshootd.config.secret import Secret
from overshootd.errors import ConfigError

MAX_BYTES = 16 * 1024
LOOKS_LIKE_KEY = re.compile(r"(ovs|sk)[_-]")


ReadSecret = Callable[[SecretRef, Path, Mapping[str, str]], Secret]


def read_key(ref: SecretRef, directory: Path, environ: Mapping[str, str]) -> Secret:
    """An API key, without the white space around it. A relative file starts at `directory`. Raises ConfigError.

    Only what can stand in an HTTP header: found there, anything else would look like a network failure.
    """
    content, source = _read(ref, directory, environ)
    value = _filled(content, source)
    if not re.fullmatch(r"[!-~]+", value):
        raise ConfigError(f"{source} holds no key; a key is one word of visible ASCII characters, without blanks")
    return Secret(value)


def read_password(ref: SecretRef, directory: Path, environ: Mapping[str, str]) -> Secret:
    """A camera's password, read as a key is: one line of any text, blanks within it too."""
    content, source = _read(ref, directory, environ)
    value = _filled(content, source)
    if not value.isprintable():
        raise ConfigError(f"{source} holds no password; a password is one line of UTF-8 text")
    return Secret(value)


def read_header(ref: SecretRef, directory: Path, environ: Mapping[str, str]) -> Secret:
    """The value of an HTTP header: visible ASCII characters and blanks. Read as a key is."""
    content, source = _read(ref, directory, environ)
    value = _filled(content, source)
    if not re.fullmatch(r"[ -~]+", value):
        raise ConfigError(f"{source} holds nothing for an HTTP header; that is one line of ASCII characters")
    return Secret(value)


def _read(ref: SecretRef, directory: Path, environ: Mapping[str, str]) -> tuple[bytes, str]:
    """What is kept there, and where that is."""
    for word in filter(None, (ref.credential, ref.file, ref.env)):
        if LOOKS_LIKE_KEY.match(word):
            raise ConfigError("this looks like the secret itself; give the name of where it is kept")
    if ref.env is not None:
        if ref.env not in environ:
            raise ConfigError(f"the environment variable {ref.env} is not set")
        return environ[ref.env].encode("utf-8", "surrogateescape"), f"the environment variable {ref.env}"
    path = directory / ref.file if ref.file is not None else _credential(ref.credential or "", environ)
    return _content(path), str(path)


def _credential(name: str, environ: Mapping[str, str]) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or name in (".", ".."):
        raise ConfigError("the name of a credential is a plain file name; for a path write {file: PATH}")
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise ConfigError(
            f"credential {name}: $CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit that has "
            f"LoadCredential={name}:PATH. Outside a unit use {{file: PATH}} or {{env: VARIABLE}}"
        )
    return Path(directory) / name


def _content(path: Path) -> bytes:
    try:
        content = read_regular(path, MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except PermissionError:
        raise ConfigError(f"{path} may not be read by this user") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES // 1024} KiB: no secret")
    return content


def _filled(content: bytes, source: str) -> str:
    """The text, without the white space around it. What is no UTF-8 turns into characters that nobody can print."""
    value = content.decode("utf-8", "surrogateescape").strip()
    if not value:
        raise ConfigError(f"{source} is empty")
    return value
