"""What a broker's answers mean."""

import pytest

from overshootd.errors import Refused, Transient, Unreachable
from overshootd.mqtt.reasons import (
    NoAnswer,
    TakenOver,
    TooLarge,
    Unsupported,
    of_certificate,
    of_connect,
    of_end,
    of_publication,
    of_silence,
)

URL = "mqtts://broker.lan:8883"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (0x84, Unsupported, "version"),
        (0x86, Refused, "user name or password"),
        (0x87, Refused, "not authorized"),
        (0x8A, Refused, "not authorized"),
        (0x85, Refused, "client_id"),
        (0x88, Transient, "busy"),
    ],
)
def test_why_a_connection_is_not_accepted(code: int, kind: type[Transient], words: str) -> None:
    error = of_connect(code, "busy")
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize(("code", "kind"), [(0x87, Refused), (0x90, Refused), (0x95, TooLarge), (0x97, Transient)])
def test_why_a_publication_is_not_taken(code: int, kind: type[Transient]) -> None:
    error = of_publication(code, "", "home/yard")
    assert type(error) is kind
    assert "home/yard" in str(error)


def test_what_is_too_large_is_so_for_certain() -> None:
    assert TooLarge("").certain


@pytest.mark.parametrize(("code", "kind"), [(0x8E, TakenOver), (0x95, TooLarge), (0x98, Refused), (0x8B, Unreachable)])
def test_why_a_connection_ended(code: int, kind: type[Transient]) -> None:
    assert type(of_end(code, "")) is kind


def test_a_clock_that_is_behind_is_no_reason_to_wait_for_somebody() -> None:
    error = of_certificate("certificate is not yet valid", URL)
    assert not isinstance(error, Refused)
    assert "broker.lan:8883" in str(error) and "clock" in str(error)


def test_who_is_not_trusted_is_told_with_what_to_do() -> None:
    error = of_certificate("self-signed certificate", URL)
    assert isinstance(error, Refused)
    assert "tls.ca_file" in str(error)


def test_silence_is_a_version_that_is_not_known_or_a_certificate_that_is_missed() -> None:
    assert isinstance(of_silence(""), NoAnswer)
    missed = of_silence("failed to receive on socket: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert")
    assert isinstance(missed, Refused) and "tls.cert_file" in str(missed)
    unknown = of_silence("failed to receive on socket: [SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca")
    assert isinstance(unknown, Refused) and "UNKNOWN_CA" in str(unknown)
