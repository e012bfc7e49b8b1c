"""Certificates and keys in files, tried as a connection would try them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from overshootd.config.problem import Problem
from overshootd.config.regular import read_regular
from overshootd.config.tree import Node

MAX_BYTES = 1024 * 1024
"""A system's whole bundle of authorities has a quarter of it."""


def certificate_problems(tls: Node) -> Iterator[Problem]:
    """What is wrong with the files under `ca_file`, `cert_file` and `key_file`, whose paths are absolute."""
    contents = {key: _content(node) for key in ("ca_file", "cert_file", "key_file") if (node := _path(tls, key))}
    yield from (content for content in contents.values() if isinstance(content, Problem))
    fine = {key: text for key, text in contents.items() if isinstance(text, str)}
    for key in ("ca_file", "cert_file"):
        if key in fine and not _has_certificate(fine[key]):
            del fine[key]
            yield tls.map[key].problem(
                f"{tls.map[key].value} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
            )
    if {"cert_file", "key_file"} <= fine.keys() and (why := _wrong_pair(tls)):
        yield tls.map["key_file"].problem(f"{tls.map['key_file'].value} {why}")


def _path(tls: Node, key: str) -> Node | None:
    node = tls.get(key)
    return node if node and isinstance(node.value, str) and node.value and node.value.isprintable() else None


def _content(node: Node) -> str | Problem:
    try:
        return read_regular(Path(str(node.value)), MAX_BYTES).decode("ascii", "replace")
    except FileNotFoundError:
        return node.problem(f"{node.value}: no such file")
    except PermissionError:
        return node.problem(f"{node.value} may not be read by this user")
    except OSError as error:
        return node.problem(f"{node.value} cannot be read: {error.strerror}")


def _has_certificate(text: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        return False
    return True


class _EncryptedError(Exception):
    pass


def _wrong_pair(tls: Node) -> str | None:
    """Why this key is not that of this certificate."""

    def asked() -> str:  # OpenSSL would ask at the terminal
        raise _EncryptedError

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(str(tls.map["cert_file"].value), str(tls.map["key_file"].value), password=asked)
    except _EncryptedError:
        return "is encrypted, and nobody is there to type its password; decrypt it (openssl pkey)"
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "is not the key of cert_file"
        return "holds no key in PEM (-----BEGIN PRIVATE KEY-----)"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None
