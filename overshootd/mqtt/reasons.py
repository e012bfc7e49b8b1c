"""What a broker's answers mean, by what must be done about it: reason codes (MQTT 5, section 2.4), and TLS. Pure."""

from __future__ import annotations

import re
import socket
import ssl

from overshootd.backoff import NETWORK, REFUSED, UNREACHABLE, Backoff
from overshootd.errors import Refused, Rejected, Transient, Unreachable
from overshootd.mqtt.link import Link
from overshootd.remedy import explained

NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
"""OpenSSL's reasons for an answer that is none of TLS."""


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


def backoff(error: Transient) -> Backoff:
    """How soon it is tried again. A person must act on what is refused, but not on what goes on with the next
    connection; and where nobody answers at all, nobody is troubled."""
    if isinstance(error, Refused) and not isinstance(error, Unsupported | TooLarge):
        return REFUSED
    answered = not isinstance(error, Unreachable) or isinstance(error, Closed | NoAnswer)
    return NETWORK if answered else UNREACHABLE


def of_connect(code: int, words: str, link: Link) -> Transient:
    """Why a broker did not accept a connection."""
    match code:
        case 0x84:
            return Unsupported(f"it does not speak MQTT {link.version} ({words}): see {link.key}.version")
        case 0x86 | 0x87:  # one in place of the other, at the broker's choice
            return Refused(f"{_login(link)} ({words}): see {_login_keys(link)}")
        case 0x8A:
            return Refused(f"it has banned us ({words}): see its log, and {link.key}.client_id and username")
        case 0x85:
            return Refused(f"it does not take the client_id {link.client_id} ({words}): see {link.key}.client_id")
        case _:
            return Transient(f"it says: {words}")


def _login(link: Link) -> str:
    if link.username is None:
        return "it lets nobody in without a login"
    return f"it does not let in the user {link.username}" + ("" if link.password else " without a password")


def _login_keys(link: Link) -> str:
    keys = f"{link.key}.username and {link.key}.password"
    return f"{keys}, or {link.key}.tls.cert_file" if link.tls and link.username is None else keys


def of_socket(error: OSError, link: Link) -> Transient:
    """Why there is no connection to the host, or none that is encrypted."""
    match error:
        case socket.gaierror():
            return Unreachable(f"the name {link.host} is not found ({said(error)}): see {link.key}.url")
        case ConnectionRefusedError():
            return Unreachable(f"nobody listens at {link.at} (connection refused)")
        case ConnectionResetError() | ssl.SSLEOFError() if link.tls:
            return Closed(f"{link.at} closed the connection in place of TLS: {_scheme(link)}")
        case ssl.SSLCertVerificationError():
            return of_certificate(error.verify_message, link)
        case ssl.SSLError() if error.reason in NO_TLS:
            return Refused(f"{link.at} does not speak TLS: {_scheme(link)}")
        case ssl.SSLError():
            return Refused(f"TLS fails ({error.reason}): see {link.key}.url and {link.key}.tls")
        case TimeoutError():
            return Unreachable(f"no answer from {link.at} in time")
    return Unreachable(f"{link.at}: {said(error)}")


def of_websocket(link: Link) -> Transient:
    """Why there is none. The library hardly tells a web server without one from a connection that was closed."""
    return Transient(f"{link.at} has no WebSocket at {link.path}: {_scheme(link, 'its path, its port')}")


def said(error: OSError) -> str:
    """In words, without the number."""
    return error.strerror or str(error)


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


def of_certificate(words: str, link: Link) -> Transient:
    """Why its certificate is not trusted; `words` are OpenSSL's."""
    meaning = explained(words, link.url)
    if "not yet valid" in words:
        return Transient(meaning)  # the clock will be set
    if "not valid for" in words:
        return Refused(f"{meaning} ({words}): see the host in {link.key}.url")
    if meaning != words:
        return Refused(meaning)
    return Refused(
        f"its certificate is from nobody whom this machine trusts ({words}): name its authority in "
        f"{link.key}.tls.ca_file"
    )


def of_silence(words: str, link: Link) -> Transient:
    """Why there was no answer; `words` are the library's. Brokers that want a certificate say so by an alert of TLS."""
    keys = f"see {link.key}.tls.cert_file and {link.key}.tls.key_file"
    if "CERTIFICATE_REQUIRED" in words or "HANDSHAKE_FAILURE" in words:
        return Refused(f"it wants a certificate of ours: {keys}")
    if alert := re.search(r"ALERT_(\w+)", words):
        return Refused(f"it does not take our certificate ({alert[1].lower().replace('_', ' ')}): {keys}")
    return NoAnswer(f"{link.at} closed the connection in place of an answer: {_scheme(link)}")


def _scheme(link: Link, parts: str = "its port") -> str:
    scheme = link.url.partition("://")[0].lower()
    other = scheme[:-1] if link.tls else f"{scheme}s"
    return f"see {link.key}.url, {parts} and whether it is {other}:// there"
