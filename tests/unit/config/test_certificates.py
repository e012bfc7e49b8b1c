"""Certificates and keys of a broker, tried before a connection would."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.integration.authority import Authority
from tests.unit.config.texts import GOOD, Load

Place = Callable[[str], list[tuple[str, str]]]


@pytest.fixture
def files(tmp_path: Path) -> None:
    """ca.pem, own.pem, own.key; other.key, and locked.key, which is encrypted."""
    authority = Authority.make(tmp_path)
    authority.file.rename(tmp_path / "ca.pem")
    for name in ("other", "own"):
        for made in authority.sign(tmp_path, "127.0.0.1"):
            made.rename(tmp_path / f"{name}{made.suffix}")
    key = serialization.load_pem_private_key((tmp_path / "own.key").read_bytes(), None)
    how = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    (tmp_path / "locked.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *how))
    (tmp_path / "text").write_text("no certificate\n")


@pytest.fixture
def said(load_text: Load, files: None) -> Place:
    """What is told of a broker's `tls`: keys below it, and sentences without their paths."""

    def do(tls: str, url: str = "mqtts://h") -> list[tuple[str, str]]:
        loaded = load_text(f"brokers: {{home: {{url: '{url}', tls: {tls}}}}}\n{GOOD}")
        assert bool(loaded.brokers) == (not loaded.problems)
        return [(p.key.removeprefix("brokers.home."), p.message.rpartition("/")[2]) for p in loaded.problems]

    return do


@pytest.mark.parametrize(
    "tls", ["", "{}", "{ca_file: ca.pem}", "{cert_file: own.pem, key_file: own.key}", "{ca_file: own.pem}"]
)
def test_these_are_fine(said: Place, tls: str) -> None:
    assert said(tls) == []


@pytest.mark.parametrize(
    ("tls", "key", "message"),
    [
        ("{ca_file: none.pem}", "ca_file", "none.pem: no such file"),
        ("{ca_file: text}", "ca_file", "text holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        ("{ca_file: own.key}", "ca_file", "own.key holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        ("{cert_file: own.pem}", "cert_file", "cert_file goes with key_file; give both, or neither"),
        ("{key_file: own.key}", "key_file", "key_file goes with cert_file; give both, or neither"),
        ("{cert_file: own.pem, key_file: other.key}", "key_file", "other.key is not the key of cert_file"),
        ("{cert_file: own.pem, key_file: text}", "key_file", "text holds no key in PEM (-----BEGIN PRIVATE KEY-----)"),
        (
            "{cert_file: own.pem, key_file: locked.key}",
            "key_file",
            "locked.key is encrypted, and nobody is there to type its password; decrypt it (openssl pkey)",
        ),
    ],
)
def test_one_mistake_is_told_once(said: Place, tls: str, key: str, message: str) -> None:
    assert said(tls) == [(f"tls.{key}", message)]


def test_a_directory_is_no_certificate(said: Place) -> None:
    assert [key for key, _ in said("{ca_file: .}")] == ["tls.ca_file"]


@pytest.mark.parametrize(("scheme", "right"), [("mqtt", "mqtts"), ("ws", "wss")])
def test_certificates_without_encryption_are_told(load_text: Load, files: None, scheme: str, right: str) -> None:
    loaded = load_text(f"brokers: {{home: {{url: '{scheme}://h', tls: {{ca_file: ca.pem}}}}}}\n{GOOD}")
    assert [(problem.key, problem.message) for problem in loaded.problems] == [
        ("brokers.home.tls", f"{scheme}:// is not encrypted; write {right}:// in url, or remove tls")
    ]
