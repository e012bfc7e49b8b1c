"""The webhook sink: one POST a record, signed, retried until it is taken.

Several are under way at a time, so no order is promised: `seq` tells it, and `uid`, which is the webhook-id, tells what
came twice. A backlog has a window of its own, and a server that is slow with it holds up nothing live.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx

from overshootd.config.pieces import Reveal, SecretRef
from overshootd.config.sinks import WebhookSink as WebhookSinkConfig
from overshootd.contracts import Log
from overshootd.errors import ConfigError, Refused, Rejected, Transient, Unreachable
from overshootd.groups import TaskGroup
from overshootd.remedy import explained
from overshootd.sinks.answers import UNAUTHORIZED, Answer, failure
from overshootd.sinks.signing import signed_headers, signing_key

BACKLOG_WINDOW = 4
LIVE_WINDOW = 16
"""POSTs under way at a time: enough for 40 records a second where an answer takes 0.4 s."""

IDLE_SECONDS = 60.0
"""How long an unused connection is kept: a new one costs a TLS handshake, more than most records."""

LONGEST_ANSWER = 64 * 1024
"""Bytes that are read of an answer, for the connection to be used again; after more it is closed."""

REMEMBERED = 512
"""Records of which is known that they were taken: two batches of the spool, for both lanes may try one again."""

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token by RFC 9110, section 5.6.2."""


@dataclass(frozen=True, slots=True, repr=False)
class _Keys:
    """What is secret in a request."""

    signing: bytes | None
    headers: tuple[tuple[str, str], ...]


class WebhookSink:
    """`reveal` reads a secret where it is kept (raises ConfigError): at `open`, and again when the server refuses it.

    `clock` gives seconds since the epoch.
    """

    def __init__(
        self, config: WebhookSinkConfig, reveal: Reveal, log: Log, clock: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._reveal = reveal
        self._log = log
        self._clock = clock
        self._where = _shown(config.url)
        self._keys: _Keys | None = None
        self._client: httpx.AsyncClient | None = None
        self._taken: dict[str, None] = {}  # uids, the oldest first

    @property
    def name(self) -> str:
        return f"webhook:{self._config.url}"

    @property
    def live_first(self) -> bool:
        return True

    async def open(self) -> None:
        """Raises ConfigError when a secret cannot be read, or the environment's proxy cannot be used. Sends nothing."""
        self._keys = self._read_keys()
        self._client = self._client or self._connecting()

    async def deliver(self, lines: list[bytes], *, backlog: bool = False) -> None:
        """Return when the server has taken all. Raises Transient; given the same again, only the others are sent.

        Raises Rejected when all are taken but those that it will never take.
        """
        waiting = deque((uid, line) for line in lines if (uid := _uid(line)) not in self._taken)
        failed: list[Transient] = []
        window = min(BACKLOG_WINDOW if backlog else LIVE_WINDOW, len(waiting))
        async with TaskGroup() as tasks:
            for _ in range(window):
                tasks.create_task(self._work(waiting, failed))
        if failed:
            raise next((error for error in failed if not isinstance(error, Rejected)), failed[0])

    async def sync(self) -> None:
        """The server has what it took."""

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _work(self, waiting: deque[tuple[str, bytes]], failed: list[Transient]) -> None:
        """Send one after the other until there is none, or the server has trouble with more than a record."""
        while waiting and all(isinstance(error, Rejected) for error in failed):
            uid, line = waiting.popleft()
            try:
                await self._send(uid, line)
            except Transient as error:
                failed.append(error)
            else:
                self._remember(uid)

    def _remember(self, uid: str) -> None:
        self._taken[uid] = None
        while len(self._taken) > REMEMBERED:
            del self._taken[next(iter(self._taken))]

    async def _send(self, uid: str, line: bytes) -> None:
        try:
            self._keys = keys = self._keys or self._read_keys()
            self._client = self._client or self._connecting()
            answer = await self._post(self._client, uid, line, keys)
            if answer.status in UNAUTHORIZED:
                self._keys = self._read_keys()
                if self._keys != keys:
                    self._log.info(f"{self._where}: refused (HTTP {answer.status}), but its secrets were changed")
                    answer = await self._post(self._client, uid, line, self._keys)
        except ConfigError as error:
            raise Refused(str(error)) from error
        if (why := failure(answer, self._where)) is not None:
            raise why

    async def _post(self, client: httpx.AsyncClient, uid: str, line: bytes, keys: _Keys) -> Answer:
        """Raises Unreachable: there was no answer, but the server may have it. What the head of one says counts, in
        whatever way its body ends."""
        signed = signed_headers(uid, int(self._clock()), line, keys.signing)
        headers = dict(keys.headers) | {"content-type": "application/json", **signed}
        seconds = self._config.timeout_seconds
        answer: Answer | None = None
        try:
            async with (
                asyncio.timeout(seconds),  # httpx counts per read: a server that drips would outlast it
                client.stream("POST", self._config.url, content=line, headers=headers) as response,
            ):
                answer = Answer(response.status_code, {**response.headers}, "")
                return replace(answer, body=await _read(response))
        except TimeoutError:
            if answer is not None:
                return answer
            raise Unreachable(f"{self._where} does not answer within {seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if answer is not None:
                return answer
            why = explained(str(error) or type(error).__name__, self._config.url)
            raise Unreachable(f"{self._where} cannot be reached: {why}") from error

    def _read_keys(self) -> _Keys:
        """Raises ConfigError."""
        headers = tuple((name.lower(), self._header(name, ref)) for name, ref in self._config.headers.items())
        if self._config.secret is None:
            return _Keys(None, headers)
        secret = self._reveal(self._config.secret).reveal()
        try:
            return _Keys(signing_key(secret), headers)
        except ConfigError as error:
            raise ConfigError(f"{self._where}: {error}") from error

    def _header(self, name: str, ref: SecretRef) -> str:
        value = self._reveal(ref).reveal()
        if not HEADER_NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
            # Later the library would say it, and show the value.
            raise ConfigError(f"{self._where}: header {name!r} must be a name, and its value one line of ASCII")
        return value

    def _connecting(self) -> httpx.AsyncClient:
        """Raises ConfigError when the environment names a proxy that cannot be used."""
        most = BACKLOG_WINDOW + LIVE_WINDOW
        try:
            return httpx.AsyncClient(
                verify=ssl.create_default_context(),
                headers={"user-agent": "overshootd", "accept-encoding": "identity"},
                timeout=self._config.timeout_seconds,
                limits=httpx.Limits(
                    max_connections=most, max_keepalive_connections=most, keepalive_expiry=IDLE_SECONDS
                ),
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise ConfigError(f"the proxy that the environment names cannot be used: {error}") from error


async def _read(response: httpx.Response) -> str:
    body = b""
    async for piece in response.aiter_bytes(chunk_size=LONGEST_ANSWER):
        body += piece
        if len(body) > LONGEST_ANSWER:
            break
    return body.decode(errors="replace")


def _uid(line: bytes) -> str:
    return str(json.loads(line)["uid"])


def _shown(url: str) -> str:
    """Without what may be secret in it: the user and the query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
