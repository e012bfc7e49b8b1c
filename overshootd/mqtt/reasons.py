"""What a broker's answers mean, by what must be done about it: reason codes (MQTT 5, section 2.4), and TLS. Pure."""

from __future__ import annotations

from overshootd.errors import Refused, Rejected, Transient, Unreachable
from overshootd.remedy import explained


class TakenOver(Transient):
    """Another client has our id."""


class NoAnswer(Unreachable):
    """The broker closed the connection in place of an answer: it may not know this version of the protocol."""


class Closed(Unreachable):
    """The broker closed the connection and did not say why. In MQTT 3.1.1 it never does."""


class Unsupported(Refused):
    """The broker does not speak this version of the protocol."""


class TooLarge(Rejected):
    """The broker does not take messages of this size."""

    def __init__(self, message: str) -> None:
        super().__init__(message, certain=True)


def of_connect(code: int, words: str) -> Transient:
    """Why a broker did not accept a connection."""
    match code:
        case 0x84:
            return Unsupported(f"it does not speak this version of MQTT ({words})")
        case 0x86:
            return Refused("bad user name or password: see username and password of this broker")
        case 0x87 | 0x8A:
            return Refused(f"not authorized ({words}): it wants another user, certificate or client_id")
        case 0x85:
            return Refused(f"it does not take this client_id ({words}): give another one")
        case _:
            return Transient(f"it says: {words}")


def of_publication(code: int, words: str, topic: str) -> Transient:
    """Why a broker did not take a publication."""
    match code:
        case 0x87:
            return Refused(f"it does not let us publish at {topic} ({words}): see its access control")
        case 0x90:
            return Refused(f"it does not take the topic {topic} ({words})")
        case 0x95:
            return TooLarge(f"a message for {topic} is too large for it ({words})")
        case _:
            return Transient(f"it does not take what is published at {topic} ({words})")


def of_end(code: int, words: str) -> Transient:
    """Why a connection ended, where the broker said so."""
    match code:
        case 0x8E:
            return TakenOver("another client took our place")
        case 0x95:
            return TooLarge("a message was too large for it")
        case 0x87 | 0x98:
            return Refused(f"it ended the connection ({words})")
        case _:
            return Unreachable(f"it ended the connection ({words})")


def of_certificate(words: str, url: str) -> Transient:
    """Why its certificate is not trusted; `words` are OpenSSL's."""
    meaning = explained(words, url)
    if "not yet valid" in words:
        return Transient(meaning)  # the clock will be set
    if meaning != words:
        return Refused(meaning)
    return Refused(
        f"its certificate is from nobody whom this machine trusts ({words}): name its authority in tls.ca_file"
    )


def of_silence(words: str) -> Transient:
    """Why there was no answer; `words` are the library's. Brokers that want a certificate say so by an alert of TLS."""
    if "CERTIFICATE_REQUIRED" in words or "HANDSHAKE_FAILURE" in words:
        return Refused("it wants a certificate of ours: see tls.cert_file and tls.key_file")
    if "ALERT" in words:
        return Refused(f"it does not take our certificate ({words}): see tls.cert_file and tls.key_file")
    return NoAnswer("it closed the connection in place of an answer")
