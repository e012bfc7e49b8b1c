"""One connection to an MQTT broker: the only module that knows aiomqtt, and paho beneath it.

aiomqtt forgets what a PUBACK says and makes a task of each publication, so publications go to paho directly. Each
connection has a client of its own: paho would send what was under way on the last one again, behind our back.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from overshootd.errors import Refused, Transient, Unreachable
from overshootd.mqtt.ahead import ReadAhead, together
from overshootd.mqtt.apart import apart
from overshootd.mqtt.link import Link
from overshootd.mqtt.reasons import (
    Closed,
    TooLarge,
    of_connect,
    of_end,
    of_publication,
    of_silence,
    of_socket,
    of_websocket,
    said,
)

CONNECT_SECONDS = 15.0
"""For files, the resolver, TCP, TLS and the answer together; paho gives the socket 5 s for each of its steps."""

FAREWELL_SECONDS = 0.5

HEARD = 1000
"""Messages that may wait for us. Commands and our own retained topics are few; what is beyond is left out."""

NOT_ALIVE = 0x8D
"""What paho takes for the reason when a ping is not answered."""

HEADERS = 20
"""Bytes of a PUBLISH at most, besides its topic and payload."""

SLOWEST = 1000.0
"""Bytes a second of a link that still counts as one."""


class _Ear(logging.Handler):
    """Keeps what paho complained of last: it tells a socket's errors nowhere else."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple):
            record.args = tuple(said(value) if isinstance(value, OSError) else value for value in record.args)
        self.last = record.getMessage()


@dataclass(slots=True)
class _Sent:
    """A publication that waits for its acknowledgement."""

    at: float
    topic: str
    size: int
    future: asyncio.Future[None]


class _Client(aiomqtt.Client):
    """aiomqtt's, but connected in a thread of our own, and with an ear for what the broker answers."""

    def __init__(self, link: Link, tls: ssl.SSLContext | None) -> None:
        logger = logging.Logger("mqtt", logging.ERROR)  # of nobody else's: paho is noisy, and we say it ourselves
        self._link = link
        self.ear = _Ear()
        logger.addHandler(self.ear)
        super().__init__(**_arguments(link), tls_context=tls, websocket_path=link.path, logger=logger)
        self.limits: Properties | None = None
        self.ended_by: ReasonCode | None = None
        """What the broker said when it ended the connection."""
        self.awaited: dict[int, _Sent] = {}
        self.acknowledged_at = 0.0
        self.freed = asyncio.Event()
        """Set when there may be room for another publication."""
        self._sockets: list[socket.socket] = []
        for name in ("_create_socket_connection", "_ssl_wrap_socket"):
            setattr(self._client, name, self._remembering(getattr(self._client, name)))
        self._client.on_publish = self._acknowledged
        self._client.on_connect = self._answered
        self._client.on_disconnect = self._ended

    # -- the life of the connection

    async def connect(self, keepalive: int) -> None:
        """Without aiomqtt's `__aenter__`: that waits for a thread of asyncio's default executor.

        Cancelled while the thread is at work, it leaves the socket to that: to close it here might give its number to
        another one, and OpenSSL would go on with the number.
        """
        await apart(self._client_connect, self.sever)
        try:
            _set_options(self._client.socket(), keepalive)
            await asyncio.wait((self._connected,))  # not awaited itself: a cancelled one trips aiomqtt up
            self._connected.result()
        except BaseException:
            self.sever()
            raise

    def _client_connect(self) -> None:
        """In the thread. paho leaves a socket open when TLS or the WebSocket fails on it."""
        try:
            super()._client_connect()
        except BaseException:
            for sock in self._sockets:
                sock.close()
            raise

    def _remembering(self, make: Callable[..., socket.socket]) -> Callable[..., socket.socket]:
        def made(*arguments: Any) -> socket.socket:
            sock = make(*arguments)
            if self._link.tls is None and self._link.path is None:
                sock = ReadAhead(sock)
            self._sockets.append(sock)
            return sock

        return made

    async def leave(self) -> None:
        """In order, so that the broker forgets the will."""
        self.timeout = FAREWELL_SECONDS
        with suppress(aiomqtt.MqttError):
            await self.__aexit__(None, None, None)

    def sever(self) -> None:
        """At once; nothing when it is cut already."""
        self._client._sock_close()
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()  # nobody shall be warned of an exception that nobody asked for

    def _answered(self, client: Any, userdata: Any, flags: Any, reason: ReasonCode, properties: Any = None) -> None:
        self.limits = properties
        self._on_connect(client, userdata, flags, reason, properties)

    def _ended(self, client: Any, userdata: Any, flags: Any, reason: ReasonCode, properties: Any = None) -> None:
        if not self._connected.done():  # aiomqtt would wait for an answer that never comes
            self._connected.set_exception(of_silence(self.ear.last, self._link))
            return
        if flags.is_disconnect_packet_from_server:
            self.ended_by = reason
        elif not self.ear.last and reason.value == NOT_ALIVE:
            self.ear.last = "no answer within the keepalive"
        self._on_disconnect(client, userdata, flags, reason, properties)

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: paho.SocketLike) -> None:
        """aiomqtt's has the event loop watch the socket first, also when that is closed by then and its number another
        one's. Most often it takes at once all that was queued in this turn."""

        def write() -> None:
            if client.socket() is sock and not self._write(sock):
                self._loop.add_writer(sock.fileno(), self._write, sock)

        try:
            asyncio.get_running_loop().call_soon(write)
        except RuntimeError:  # in the thread that connects
            self._loop.call_soon_threadsafe(write)

    def _write(self, sock: paho.SocketLike) -> bool:
        """Whether nothing is left to write there."""
        try:
            with together(_plain(sock)):
                self._client.loop_write()
        except Exception as error:  # noqa: BLE001 (raised to whoever hears)
            if not self._disconnected.done():
                self._disconnected.set_exception(error)
            return True
        return self._client.socket() is not sock or not self._client.want_write()

    # -- publications

    def send(self, topic: str, payload: bytes, retain: bool) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        info = self._client.publish(topic, payload, 1, retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise Unreachable(f"not sent: {paho.error_string(info.rc)}")
        self.awaited[info.mid] = _Sent(time.monotonic(), topic, len(payload), future)
        return future

    def _acknowledged(self, client: Any, userdata: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        self.acknowledged_at = time.monotonic()
        self.freed.set()
        sent = self.awaited.pop(mid, None)
        if sent is None or sent.future.done():
            return
        if reason.is_failure:
            sent.future.set_exception(of_publication(reason.value, str(reason), sent.topic))
        else:
            sent.future.set_result(None)


class Connection:
    """One that the broker has accepted."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self.ended_by: Transient | None = None
        """What ended it. Whatever was under way then failed with it, as Unreachable: it may be to blame, or not."""
        self._receives: int = getattr(client.limits, "ReceiveMaximum", 65535)
        self._largest: int | None = getattr(client.limits, "MaximumPacketSize", None)

    @property
    def freed(self) -> asyncio.Event:
        """Set when there may be room for another publication."""
        return self._client.freed

    def takes(self, share: float) -> bool:
        """Whether one more may be under way, of this share of what the broker takes (MQTT 5, section 3.2.2.3.3)."""
        return len(self._client.awaited) < max(1, int(self._receives * share))

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> asyncio.Future[None]:
        """Publish with QoS 1; done when it is acknowledged, and fails with Refused, TooLarge, Unreachable or Transient.

        Raises Unreachable, and TooLarge for what is beyond what the broker said that it takes.
        """
        if self.ended_by is not None:
            raise Unreachable(str(self.ended_by))
        size = len(payload) + len(topic.encode()) + HEADERS
        if self._largest is not None and size > self._largest:
            raise TooLarge(f"{len(payload)} bytes for {topic}, and the broker takes {self._largest} a message")
        return self._client.send(topic, payload, retain)

    def is_dead(self, seconds: float) -> bool:
        """Whether nothing was acknowledged for so long, though it would have been even by the slowest of links."""
        oldest = next(iter(self._client.awaited.values()), None)
        if oldest is None:
            return False
        bound = seconds + sum(sent.size for sent in self._client.awaited.values()) / SLOWEST
        return time.monotonic() - max(oldest.at, self._client.acknowledged_at) > bound

    def is_astray(self) -> bool:
        """Whether what is sent to the broker by now leaves from another address than this connection has."""
        if (sock := _plain(self._client._client.socket())) is None:
            return False
        try:
            with socket.socket(sock.family, socket.SOCK_DGRAM) as probe:
                probe.connect(sock.getpeername())  # which sends nothing
                return bool(probe.getsockname()[0] != sock.getsockname()[0])
        except OSError:  # no way at all: this one may come back
            return False

    async def subscribe(self, topic_filter: str) -> None:
        """Raises Refused, Unreachable."""
        try:
            codes = await self._client.subscribe(topic_filter, qos=1)
        except aiomqtt.MqttError as error:
            raise Unreachable(f"no answer to a subscription: {error}") from error
        if any(_value(code) >= 0x80 for code in codes):
            raise Refused(f"it does not let us hear {topic_filter}: see its access control")

    async def heard(self) -> AsyncIterator[tuple[str, bytes, bool]]:
        """Topic, payload, and whether it was retained. Raises what ended the connection."""
        try:
            async for message in self._client.messages:
                payload: Any = message.payload  # bytes, whatever the library declares
                yield str(message.topic), bytes(payload), message.retain
        except aiomqtt.MqttError as error:
            why = self._why()
            self.over(why)
            raise why from error

    def over(self, why: Transient) -> None:
        """Nothing is sent any more, and what waits to be acknowledged waits no more. The first reason stands."""
        self.ended_by = self.ended_by or why
        awaited, self._client.awaited = self._client.awaited, {}
        for sent in awaited.values():
            if not sent.future.done():
                sent.future.set_exception(Unreachable(str(self.ended_by)))
        self._client.freed.set()

    def _why(self) -> Transient:
        if (reason := self._client.ended_by) is not None:
            return of_end(reason.value, str(reason))
        if (last := self._client.ear.last) and "reset" not in last:
            return Unreachable(f"the connection is lost: {last}")
        return Closed("it closed the connection")


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter with + and # takes in this topic (MQTT 5, section 4.7)."""
    return aiomqtt.Topic(topic).matches(topic_filter)


@asynccontextmanager
async def connected(link: Link) -> AsyncIterator[Connection]:
    """A connection with its will left at the broker. Cancelled, it ends in order, which takes the will back; after an
    error it is cut, and the broker tells the will.

    Raises Unreachable, Refused, Unsupported, NoAnswer or Transient when there is none.
    """
    with _translated(link):
        async with asyncio.timeout(CONNECT_SECONDS):
            client = _Client(link, await apart(link.tls) if link.tls else None)
            await client.connect(link.keepalive)
    connection = Connection(client)
    try:
        yield connection
    except asyncio.CancelledError:
        connection.over(Unreachable("the connection is over"))
        await client.leave()
        raise
    finally:
        connection.over(Unreachable("the connection is lost"))
        client.sever()


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
        "clean_start": True if five else paho.MQTT_CLEAN_START_FIRST_ONLY,
        "will": aiomqtt.Will(topic, payload, qos=1, retain=True),
        "keepalive": link.keepalive,
        "transport": "tcp" if link.path is None else "websockets",
        "timeout": CONNECT_SECONDS,
        "max_queued_incoming_messages": HEARD,
        "max_inflight_messages": 0,
    }


def _set_options(sock: Any, keepalive: int) -> None:
    """A dead path fails within the keepalive, also while we are the only one who sends; small messages go at once."""
    if (sock := _plain(sock)) is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, keepalive * 1000)


def _plain(sock: Any) -> Any:
    """The one below a WebSocket; None when it failed since."""
    return sock._socket if isinstance(sock, paho._WebsocketWrapper) else sock


@contextmanager
def _translated(link: Link) -> Iterator[None]:
    """The library's errors become ours."""
    try:
        yield
    except aiomqtt.MqttCodeError as error:
        raise of_connect(_value(error.rc), str(error.rc), link) from error
    except paho.WebsocketConnectionError as error:
        raise of_websocket(link) from error
    except OSError as error:
        raise of_socket(error, link) from error
    except UnicodeError as error:
        raise Refused(f"{link.host} cannot be a host's name: see {link.key}.url") from error


def _value(code: object) -> int:
    return code.value if isinstance(code, ReasonCode) else int(str(code))
