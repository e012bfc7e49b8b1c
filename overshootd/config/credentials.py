"""Secrets from where they are kept: systemd credentials, files, environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from overshootd.config.pieces import SecretRef
from overshootd.config.regular import read_regular
from overshootd.config.secret import Secret
from overshootd.errors import ConfigError

MAX_BYTES = 16 * 1024
LOOKS_LIKE_KEY = re.compile(r"(ovs|sk)[_-]")


def read_secret(ref: SecretRef, directory: Path, environ: Mapping[str, str]) -> Secret:
    """The secret without the white space around it. A relative file starts at `directory`. Raises ConfigError."""
    for word in filter(None, (ref.credential, ref.file, ref.env)):
        if LOOKS_LIKE_KEY.match(word):
            raise ConfigError("this looks like the secret itself; give the name of where it is kept")
    if ref.env is not None:
        if ref.env not in environ:
            raise ConfigError(f"the environment variable {ref.env} is not set")
        return _secret(environ[ref.env], f"the environment variable {ref.env}")
    if ref.file is not None:
        return _read(directory / ref.file)
    return _read(_credential(ref.credential or "", environ))


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


def _read(path: Path) -> Secret:
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
    return _secret(content.decode("ascii", "replace"), str(path))


def _secret(text: str, source: str) -> Secret:
    """Only what can stand in an HTTP header: found there, anything else would look like a network failure."""
    value = text.strip()
    if not value:
        raise ConfigError(f"{source} is empty")
    if not re.fullmatch(r"[!-~]+", value):
        raise ConfigError(f"{source} holds no key; a key is one word of visible ASCII characters, without blanks")
    return Secret(value)
