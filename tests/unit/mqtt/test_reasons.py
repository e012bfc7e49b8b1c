"""What a broker's answers mean."""

import socket
import ssl
from dataclasses import replace

import pytest

from overshootd.backoff import NETWORK, REFUSED, UNREACHABLE, Backoff
from overshootd.config.secret import Secret
from overshootd.errors import Refused, Transient, Unreachable
from overshootd.mqtt.link import Link
from overshootd.mqtt.reasons import (
    Closed,
    NoAnswer,
    TakenOver,
    TooLarge,
    Unsupported,
    backoff,
    of_certificate,
    of_connect,
    of_end,
    of_publication,
    of_silence,
    of_socket,
    of_websocket,
)

PLAIN = Link("brokers.home", "mqtt://broker.lan", "broker.lan", 1883, "5", "overshootd-pi", ("state", b""), 30)
SECURED = replace(PLAIN, url="mqtts://broker.lan:8883", port=8883, tls=ssl.create_default_context)
WEB = replace(PLAIN, url="WS://broker.lan/mq", port=80, path="/mq")


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (0x84, Unsupported, "MQTT 5 (busy): see brokers.home.version"),
        (0x8A, Refused, "banned"),
        (0x85, Refused, "client_id overshootd-pi (busy): see brokers.home.client_id"),
        (0x88, Transient, "busy"),
    ],
)
def test_why_a_connection_is_not_accepted(code: int, kind: type[Transient], words: str) -> None:
    error = of_connect(code, "busy", PLAIN)
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize("code", [0x86, 0x87])
@pytest.mark.parametrize(
    ("link", "words"),
    [
        (PLAIN, "nobody in without a login (no): see brokers.home.username and brokers.home.password"),
        (SECURED, "brokers.home.password, or brokers.home.tls.cert_file"),
        (replace(PLAIN, username="pi"), "the user pi without a password (no): see brokers.home.username and"),
        (replace(PLAIN, username="pi", password=Secret("hunter2")), "the user pi (no): see brokers.home.username and"),
    ],
)
def test_a_login_that_is_refused_is_told_with_the_user_and_the_keys(code: int, link: Link, words: str) -> None:
    error = of_connect(code, "no", link)
    assert type(error) is Refused
    assert words in str(error) and "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Refused("a password"), REFUSED),
        (Unsupported("the version"), NETWORK),
        (TooLarge("a message"), NETWORK),
        (Transient("busy"), NETWORK),
        (Closed("without a word"), NETWORK),
        (NoAnswer("to CONNECT"), NETWORK),
        (Unreachable("no route"), UNREACHABLE),
    ],
)
def test_how_soon_it_is_tried_again(error: Transient, kind: Backoff) -> None:
    assert backoff(error) is kind


def _tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:1)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "link", "kind", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), PLAIN, Unreachable, "nobody listens at broker.lan:1883"),
        (OSError(113, "No route to host"), PLAIN, Unreachable, "broker.lan:1883: No route to host"),
        (TimeoutError(), PLAIN, Unreachable, "no answer from broker.lan:1883 in time"),
        (socket.gaierror(-2, "Name not known"), PLAIN, Unreachable, "broker.lan is not found (Name not known): see"),
        (ConnectionResetError(104, "reset"), PLAIN, Unreachable, "broker.lan:1883: reset"),
        (ConnectionResetError(104, "reset"), SECURED, Closed, "in place of TLS: see brokers.home.url, its port and"),
        (ssl.SSLEOFError(8, "EOF"), SECURED, Closed, "whether it is mqtt:// there"),
        (_tls("WRONG_VERSION_NUMBER"), SECURED, Refused, "broker.lan:8883 does not speak TLS: see brokers.home.url"),
        (_tls("NO_SHARED_CIPHER"), SECURED, Refused, "(NO_SHARED_CIPHER): see brokers.home.url and brokers.home.tls"),
    ],
)
def test_why_nobody_is_reached(error: OSError, link: Link, kind: type[Transient], words: str) -> None:
    told = of_socket(error, link)
    assert type(told) is kind
    assert words in str(told) and "Errno" not in str(told)


def test_a_websocket_that_is_not_there_is_told_with_its_path() -> None:
    told = "no WebSocket at /mq: see brokers.home.url, its path, its port and whether it is wss:// there"
    assert told in str(of_websocket(WEB))


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
    error = of_certificate("certificate is not yet valid", SECURED)
    assert not isinstance(error, Refused)
    assert "broker.lan:8883" in str(error) and "clock" in str(error)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("self-signed certificate", "(self-signed certificate): name its authority in brokers.home.tls.ca_file"),
        ("Hostname mismatch, certificate is not valid for 'broker.lan'.", "see the host in brokers.home.url"),
        ("certificate has expired", "the certificate of broker.lan:8883 has expired"),
    ],
)
def test_who_is_not_trusted_is_told_with_what_to_do(words: str, told: str) -> None:
    error = of_certificate(words, SECURED)
    assert isinstance(error, Refused)
    assert told in str(error)


def test_silence_is_a_version_or_a_scheme_that_is_not_meant_or_a_certificate_that_is_missed() -> None:
    silence = of_silence("", PLAIN)
    assert isinstance(silence, NoAnswer) and "whether it is mqtts:// there" in str(silence)
    missed = of_silence("failed to receive on socket: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert", SECURED)
    assert isinstance(missed, Refused) and "brokers.home.tls.cert_file" in str(missed)
    unknown = of_silence("failed to receive on socket: [SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca", SECURED)
    assert isinstance(unknown, Refused) and "(unknown ca)" in str(unknown)


def test_an_ipv6_address_is_told_as_a_url_has_it() -> None:
    assert replace(PLAIN, host="::1").at == "[::1]:1883"
