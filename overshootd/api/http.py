"""HTTP to the API with httpx: answers and failures as the values that `failures` decides on."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from overshootd.api.failures import HttpAnswer, NoAnswer
from overshootd.config.secret import Secret

CONNECT_TIMEOUT = 5.0
LONGEST_ANSWER = 1_000_000
"""Bytes. The API's answers are a few kilobytes; a portal's page may be anything."""


@dataclass(frozen=True, slots=True)
class Success:
    """A 2xx answer; `body` is the JSON object, empty for 204."""

    body: Mapping[str, Any]


Answer = Success | HttpAnswer | NoAnswer


class Http:
    """One pool of connections for all streams."""

    def __init__(self, tls: ssl.SSLContext, user_agent: str) -> None:
        self._client = httpx.AsyncClient(
            verify=tls, headers={"user-agent": user_agent}, limits=httpx.Limits(max_connections=20)
        )

    async def request(
        self, method: str, url: str, *, key: Secret, body: Mapping[str, Any] | None = None, timeout: float
    ) -> Answer:
        """One request, `timeout` seconds for all of it. Raises nothing but cancellation."""
        try:
            # httpx counts its timeouts per read; a server that drips bytes would outlast the lease.
            async with asyncio.timeout(timeout):
                response = await self._client.request(
                    method,
                    url,
                    json=body,
                    headers={"authorization": f"Bearer {key.reveal()}"},
                    timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
                )
        except TimeoutError:
            return NoAnswer(f"no answer within {timeout:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return NoAnswer(_why(error))
        return _answer(response)

    async def close(self) -> None:
        await self._client.aclose()


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _answer(response: httpx.Response) -> Answer:
    body = _json_object(response)
    if response.is_success and (body is not None or response.status_code == 204):
        return Success(body or {})
    error = body.get("error") if body else None
    return HttpAnswer(
        status=response.status_code,
        error=str(error) if error is not None else None,
        details=body.get("details") if body else None,
        retry_after=_seconds(response.headers.get("retry-after")),
        request_id=str(body.get("request_id")) if body and body.get("request_id") else None,
    )


def _json_object(response: httpx.Response) -> Mapping[str, Any] | None:
    try:
        body = json.loads(response.content[:LONGEST_ANSWER])
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds. Its date form is left out: it needs a clock that a device at boot does not have."""
    try:
        return min(max(float(retry_after or ""), 0.0), 3600.0)
    except ValueError:
        return None
