"""One connection to an MQTT broker: the only module that knows aiomqtt, and paho beneath it.

aiomqtt forgets what a PUBACK says and makes a task of each publication, so publications go to paho directly. Each
connection has a client of its own: paho would send what was under way on the last one again, behind our back.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from overshootd.config.secret import Secret
from overshootd.errors import Refused, Rejected, Transient, Unreachable

T = TypeVar("T")

CONNECT_SECONDS = 15.0
"""For the resolver, TCP, TLS and the broker's answer together; paho gives the socket 5 s for each of its steps."""

FAREWELL_SECONDS = 0.5

HEARD = 1000
"""Messages that may wait for us. Commands and our own retained topics are few; what is beyond is left out."""

UNSUPPORTED, BAD_USER, NOT_AUTHORIZED, BANNED, TAKEN_OVER, TOO_LARGE = 0x84, 0x86, 0x87, 0x8A, 0x8E, 0x95
"""Reason codes (MQTT 5, section 2.4)."""

QUIET = logging.getLogger("overshootd.mqtt.quiet")
"""What paho has to say is told by its exceptions too."""
QUIET.disabled = True


class TakenOver(Transient):
    """Another client has our id."""


class NoAnswer(Unreachable):
    """The broker closed the connection before it said anything: it may not know the version."""


class Unsupported(Refused):
    """The broker does not speak this version of the protocol."""


class TooLarge(Rejected):
    """The broker does not take messages of this size."""

    def __init__(self, message: str) -> None:
        super().__init__(message, certain=True)


@dataclass(frozen=True, slots=True)
class Link:
    """All that a connection is made with. `path` is that of a WebSocket, None without; `will` its topic and payload."""

    host: str
    port: int
    version: str
    client_id: str
    will: tuple[str, bytes]
    keepalive: int
    username: str | None = None
    password: Secret | None = None
    tls: Callable[[], ssl.SSLContext] | None = None
    path: str | None = None


class _Client(aiomqtt.Client):
    """aiomqtt's, but connected in a thread of our own, and with an ear for what the broker answers."""

    # asyncio's default executor is a small pool for everybody, and a resolver can take half a minute.
    def _client_connect(self) -> None:
        """Nothing: `connect_now` was called."""

    def connect_now(self) -> None:
        super()._client_connect()

    def sever(self) -> None:
        """Also where the library leaves a socket behind, which is after a connection that nobody answered."""
        self._client._sock_close()

    def prepare(self) -> None:
        self.awaited: dict[int, tuple[float, asyncio.Future[None]]] = {}
        self.limits: Properties | None = None
        self.refusal: ReasonCode | None = None
        self._client.on_publish = self._acknowledged
        self._client.on_connect = self._answered
        self._client.on_disconnect = self._ended

    def _answered(self, client: Any, userdata: Any, flags: Any, reason: ReasonCode, properties: Any = None) -> None:
        self.limits = properties
        self._on_connect(client, userdata, flags, reason, properties)

    def _ended(self, client: Any, userdata: Any, flags: Any, reason: ReasonCode, properties: Any = None) -> None:
        self.refusal = reason
        self._on_disconnect(client, userdata, flags, reason, properties)

    def _acknowledged(self, client: Any, userdata: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        _, future = self.awaited.pop(mid, (0.0, None))
        if future is None or future.done():
            return
        if reason.is_failure:
            future.set_exception(Refused(f"the broker does not take it ({reason}): its access control may forbid it"))
        else:
            future.set_result(None)

    def send(self, topic: str, payload: bytes, retain: bool) -> asyncio.Future[None]:
        """Publish with QoS 1. Done when it is acknowledged. Raises Unreachable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        info = self._client.publish(topic, payload, 1, retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise Unreachable(f"not sent: {paho.error_string(info.rc)}")
        self.awaited[info.mid] = (time.monotonic(), future)
        return future

    @property
    def over(self) -> asyncio.Future[None]:
        return self._disconnected


class Connection:
    """One that the broker has accepted."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self.in_flight: int = getattr(client.limits, "ReceiveMaximum", 65535)
        """Publications that the broker takes at a time (MQTT 5, section 3.2.2.3.3)."""
        self._largest: int | None = getattr(client.limits, "MaximumPacketSize", None)

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> asyncio.Future[None]:
        """Publish with QoS 1; done when it is acknowledged, and fails with Refused or Unreachable.

        Raises Unreachable, and TooLarge for what is beyond what the broker said that it takes.
        """
        if self._largest is not None and len(payload) + len(topic) + 20 > self._largest:
            raise TooLarge(f"{len(payload)} bytes, and the broker takes {self._largest} a message")
        return self._client.send(topic, payload, retain)

    @property
    def waiting_since(self) -> float | None:
        """Monotonic time of the oldest publication that is not acknowledged."""
        return next((sent for sent, _ in self._client.awaited.values()), None)

    async def subscribe(self, topic_filter: str) -> None:
        """Raises Refused, Unreachable."""
        with _translated():
            codes = await self._client.subscribe(topic_filter, qos=1)
        if any(_value(code) >= 0x80 for code in codes):
            raise Refused(f"the broker does not let us hear {topic_filter}: its access control may forbid it")

    async def heard(self) -> AsyncIterator[tuple[str, bytes, bool]]:
        """Topic, payload, and whether it was retained. Raises what ended the connection."""
        try:
            async for message in self._client.messages:
                payload: Any = message.payload  # bytes, whatever the library declares
                yield str(message.topic), bytes(payload), message.retain
        except aiomqtt.MqttError as error:
            raise self._why(error) from error

    def fail(self, error: Transient) -> None:
        """Whatever waits to be acknowledged waits no more."""
        awaited, self._client.awaited = self._client.awaited, {}
        for _, future in awaited.values():
            if not future.done():
                future.set_exception(error)

    def _why(self, error: aiomqtt.MqttError) -> Transient:
        reason = self._client.refusal
        if reason is not None and _value(reason) == TAKEN_OVER:
            return TakenOver("another client took our place")
        if reason is not None and _value(reason) == TOO_LARGE:
            return TooLarge("a message was too large for the broker")
        return Unreachable(f"the connection is lost ({reason or error})")


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter with + and # takes in this topic (MQTT 5, section 4.7)."""
    return aiomqtt.Topic(topic).matches(topic_filter)


@asynccontextmanager
async def connected(link: Link) -> AsyncIterator[Connection]:
    """A connection with its will left at the broker; an orderly end takes the will back.

    Raises Unreachable, Refused, Unsupported, NoAnswer or Transient when there is none.
    """
    tls = await _in_thread(link.tls, lambda: None) if link.tls else None
    client = _Client(**_arguments(link), tls_context=tls, websocket_path=link.path)
    client.prepare()
    try:
        with _translated():
            async with asyncio.timeout(CONNECT_SECONDS):
                await _in_thread(client.connect_now, client.sever)
                await client.__aenter__()
    except BaseException:
        client.sever()
        raise
    connection = Connection(client)
    try:
        yield connection
    finally:
        connection.fail(Unreachable("the connection is over"))
        client.timeout = FAREWELL_SECONDS
        with suppress(aiomqtt.MqttError):
            await client.__aexit__(None, None, None)
        client.sever()
        _retrieved(client.over)


def _arguments(link: Link) -> dict[str, Any]:
    topic, payload = link.will
    five = link.version == "5"
    return {
        "hostname": link.host,
        "port": link.port,
        "identifier": link.client_id,
        "username": link.username,
        "password": link.password.reveal() if link.password else None,
        "protocol": aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311,
        "clean_session": None if five else True,
        "clean_start": paho.MQTT_CLEAN_START_FIRST_ONLY if not five else True,
        "will": aiomqtt.Will(topic, payload, qos=1, retain=True),
        "keepalive": link.keepalive,
        "transport": "tcp" if link.path is None else "websockets",
        "timeout": CONNECT_SECONDS,
        "max_queued_incoming_messages": HEARD,
        "max_inflight_messages": 0,
        "socket_options": _socket_options(link.keepalive),
        "logger": QUIET,
    }


def _socket_options(keepalive: int) -> tuple[tuple[int, int, int], ...]:
    """A dead path fails within the keepalive, also while we are the only one who sends; small messages go at once."""
    return (
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, keepalive * 1000),
    )


@contextmanager
def _translated() -> Iterator[None]:
    """The library's errors become ours."""
    try:
        yield
    except aiomqtt.MqttCodeError as error:
        raise _refused(_value(error.rc), str(error.rc)) from error
    except TimeoutError as error:
        raise Unreachable("no answer in time") from error
    except ssl.SSLCertVerificationError as error:
        raise Refused(f"its certificate is not trusted: {error.verify_message}; see tls.ca_file") from error
    except ssl.SSLError as error:
        raise Refused(f"TLS fails: {error}") from error
    except (OSError, paho.WebsocketConnectionError) as error:
        raise Unreachable(str(error)) from error
    except aiomqtt.MqttError as error:
        raise NoAnswer(f"no answer: {error}") from error


def _refused(code: int, words: str) -> Transient:
    match code:
        case 0x84:
            return Unsupported(f"the broker does not speak this version of MQTT ({words})")
        case 0x86:
            return Refused("bad user name or password: see username and password of this broker")
        case 0x87 | 0x8A:
            return Refused(f"not authorized ({words}): the broker wants another user, certificate or client_id")
        case _:
            return Transient(f"the broker says: {words}")


def _value(code: object) -> int:
    return code.value if isinstance(code, ReasonCode) else int(str(code))


def _retrieved(future: asyncio.Future[None]) -> None:
    """Nobody shall be warned of an exception that nobody asked for."""
    if future.done() and not future.cancelled():
        future.exception()


async def _in_thread(function: Callable[[], T], undo: Callable[[], None]) -> T:
    """Run it in a thread of its own, for a resolver may hang. Cancelled, it is left behind, and undone when it ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(error: BaseException | None, value: T | None) -> None:
        if future.cancelled():
            if error is None:
                undo()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]  # it is a T where there is no error

    def work() -> None:
        error, value = None, None
        try:
            value = function()
        except BaseException as raised:  # noqa: BLE001 - raised where it is awaited
            error = raised
        with suppress(RuntimeError):  # the loop is closed: the process ends
            loop.call_soon_threadsafe(settle, error, value)

    threading.Thread(target=work, name="mqtt connect", daemon=True).start()
    return await future
