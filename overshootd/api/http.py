"""HTTP to the API with httpx: answers and failures as the values that `failures` decides on."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from overshootd.api.failures import HttpAnswer, NoAnswer
from overshootd.config.secret import Secret
from overshootd.errors import ConfigError
from overshootd.remedy import explained

CONNECT_TIMEOUT = 5.0
IDLE_SECONDS = 60.0
"""How long an unused connection is kept. Keepalives come up to 20 s apart: by httpx's own 5 s each would make a new TLS
connection, 32 MB a day instead of 19, measured with a tiny certificate."""

LAST_SECONDS = 0.5
"""For a request that is under way when the path changes. Where the old path is dead no answer comes, and each moment
counts; where it is not one does, and then a stream that was just created is not left behind unknown, and billed."""

NO_LINGER = struct.pack("ii", 1, 0)
"""struct linger: what a connection still has to send is dropped where it is closed. Else the kernel goes on to send it,
and a request that was given up arrives when the path is back: a keepalive was seen 5.6 s after this process had died,
and a create would be a stream whose id nobody reads."""

LONGEST_ANSWER = 1_000_000
"""Bytes. The API's answers are a few kilobytes; a portal's page may be anything."""


@dataclass(frozen=True, slots=True)
class Success:
    """A 2xx answer; `body` is the JSON object, empty for 204."""

    body: Mapping[str, Any]


Answer = Success | HttpAnswer | NoAnswer


class Http:
    """One pool of connections for all streams, and another one after each change of the path."""

    def __init__(self, tls: ssl.SSLContext, user_agent: str) -> None:
        """Raises ConfigError when the environment names a proxy that cannot be used."""
        self._tls, self._user_agent = tls, user_agent
        self._dropped = float("-inf")
        self._ending: set[asyncio.Task[None]] = set()
        self._old: set[_Pool] = set()
        self._pool = self._fresh()

    def drop_connections(self, *, unless_within: float = 0.0, hurry: bool = True) -> None:
        """Connections made so far are not used again, unless that was asked for within so many seconds before.

        Those that are idle are closed now; a request that is under way has LAST_SECONDS more and then is NoAnswer.
        Without `hurry` it has all of its time: one stream's doubt must not cost another its request.
        """
        now = time.monotonic()
        if now - self._dropped < unless_within:
            return
        self._dropped = now
        old, self._pool = self._pool, self._fresh()
        ending = asyncio.create_task(old.end(hurry=hurry), name="old connections")
        self._ending.add(ending)
        self._old.add(old)
        ending.add_done_callback(self._ending.discard)
        ending.add_done_callback(lambda _: self._old.discard(old))

    async def request(
        self, method: str, url: str, *, key: Secret, body: Mapping[str, Any] | None = None, timeout: float
    ) -> Answer:
        """One request, `timeout` seconds for all of it. Raises nothing but cancellation."""
        pool = self._pool
        try:
            # httpx counts its timeouts per read; a server that drips bytes would outlast the lease.
            async with asyncio.timeout(timeout) as bound:
                with pool.used(bound):
                    async with pool.client.stream(
                        method,
                        url,
                        json=body,
                        headers={"authorization": f"Bearer {key.reveal()}"},
                        timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
                        extensions={"trace": _traced},
                    ) as response:
                        return _answer(response, await _read(response))
        except TimeoutError:
            return NoAnswer("the path has changed" if pool.hurried else f"no answer within {timeout:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return NoAnswer(explained(_why(error), url))

    async def close(self) -> None:
        for pool in self._old:
            pool.hurry()
        await asyncio.gather(self._pool.end(hurry=True), *self._ending)

    def _fresh(self) -> _Pool:
        headers = {"user-agent": self._user_agent}
        limits = httpx.Limits(max_connections=20, keepalive_expiry=IDLE_SECONDS)
        try:
            return _Pool(httpx.AsyncClient(verify=self._tls, headers=headers, limits=limits))
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise ConfigError(f"the proxy that the environment names cannot be used: {error}") from error


class _Pool:
    """The connections of one path, and the bounds of the requests that are under way on them."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self._under_way: set[asyncio.Timeout] = set()
        self.hurried = False
        self._unused = asyncio.Event()
        self._unused.set()

    @contextmanager
    def used(self, bound: asyncio.Timeout) -> Iterator[None]:
        """By a request that has this bound."""
        self._under_way.add(bound)
        self._unused.clear()
        try:
            yield
        finally:
            self._under_way.discard(bound)
            if not self._under_way:
                self._unused.set()

    def hurry(self) -> None:
        """What is under way has LAST_SECONDS more."""
        self.hurried = True
        latest = asyncio.get_running_loop().time() + LAST_SECONDS
        for bound in self._under_way:
            ends = bound.when()
            if ends is not None and ends > latest and not bound.expired():
                bound.reschedule(latest)

    async def end(self, *, hurry: bool) -> None:
        """Let what is under way come to its end, and close all connections."""
        if hurry:
            self.hurry()
        await self._unused.wait()
        await self.client.aclose()


async def _traced(event: str, told: Mapping[str, Any]) -> None:
    """Called by httpx at each of its steps. It takes socket options only from those who look for proxies themselves."""
    if event == "connection.connect_tcp.complete":
        connected = told["return_value"].get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def _read(response: httpx.Response) -> bytes:
    """The body, or as much of it as LONGEST_ANSWER: what is longer is not the API's, and must not fill the memory."""
    body = b""
    async for chunk in response.aiter_bytes(chunk_size=65536):
        body += chunk
        if len(body) > LONGEST_ANSWER:
            break
    return body


def _answer(response: httpx.Response, content: bytes) -> Answer:
    body = _json_object(content)
    if response.is_success and (body is not None or response.status_code == 204):
        return Success(body or {})
    error = body.get("error") if body else None
    return HttpAnswer(
        status=response.status_code,
        error=str(error) if error is not None else None,
        details=body.get("details") if body else None,
        retry_after=seconds(response.headers.get("retry-after")),
        request_id=str(body.get("request_id")) if body and body.get("request_id") else None,
    )


def _json_object(content: bytes) -> Mapping[str, Any] | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds. Its date form is left out: it needs a clock that a device at boot does not have."""
    try:
        return min(max(float(retry_after or ""), 0.0), 3600.0)
    except ValueError:
        return None
