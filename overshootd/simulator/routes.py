"""The gateway over HTTP: routes, authorization, injected faults, error bodies, CORS, judgement of what we answer."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from overshootd.simulator.contract import Problem
from overshootd.simulator.faults import Hang, Latency, NotJson, OnOperation, Redirect, Status
from overshootd.simulator.gateway import ApiError, Gateway
from overshootd.simulator.sockets import Close, close, new_socket, pump, read_key

BASE = "/v0.2"
RESULTS = "results"
HANG_SECONDS = 600.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LOG = logging.getLogger(__name__)
_PAGE = "<!doctype html><title>Welcome</title><h1>Please log in to use this network</h1>"


class Routes:
    """Handlers are named after the contract's operationId, which is also the name of their route."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def table(self) -> list[web.RouteDef]:
        stream = BASE + "/streams/{stream_id}"
        return [
            web.options(BASE + "/{path:.*}", self._preflight),
            web.get(BASE + "/healthz", self._healthz),
            web.get(BASE + "/models", self._operation(self._list_models), name="listModels"),
            web.post(BASE + "/streams", self._operation(self._create), name="createStream"),
            web.delete(stream, self._operation(self._close), name="closeStream"),
            web.post(stream + "/keepalive", self._operation(self._keepalive), name="keepalive"),
            web.patch(stream + "/config/prompt", self._operation(self._prompt), name="updatePrompt"),
            web.get(stream + "/info", self._operation(self._info), name="streamInfo"),
            web.post(stream + "/spectate", self._operation(self._spectate), name="spectate"),
            web.get(BASE + "/ws/streams/{stream_id}", self._enveloped(self._results), name=RESULTS),
            web.route("*", BASE + "/{path:.*}", self._operation(self._nowhere)),
        ]

    # operations: (status, body)

    async def _list_models(self, key: str, request: web.Request) -> tuple[int, Any]:
        return 200, self._gateway.models()

    async def _create(self, key: str, request: web.Request) -> tuple[int, Any]:
        return 201, await self._gateway.create(key, await _body(request))

    async def _close(self, key: str, request: web.Request) -> tuple[int, Any]:
        return (200, {"status": "ok"}) if self._gateway.delete(key, _stream_id(request)) else (204, None)

    async def _keepalive(self, key: str, request: web.Request) -> tuple[int, Any]:
        return 200, self._gateway.keepalive(key, _stream_id(request))

    async def _prompt(self, key: str, request: web.Request) -> tuple[int, Any]:
        return 200, self._gateway.update_prompt(key, _stream_id(request), await _body(request))

    async def _info(self, key: str, request: web.Request) -> tuple[int, Any]:
        return 200, self._gateway.info(key, _stream_id(request))

    async def _spectate(self, key: str, request: web.Request) -> tuple[int, Any]:
        return 200, self._gateway.spectate(key, _stream_id(request))

    async def _nowhere(self, key: str, request: web.Request) -> tuple[int, Any]:
        raise ApiError(404, "not_found", f"there is no {request.method} {request.path}")

    # what is no operation of the contract

    async def _preflight(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(status=204)
        _allow_origin(request, response)
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, PATCH, DELETE, OPTIONS"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        response.headers["Access-Control-Max-Age"] = "600"
        return response

    async def _healthz(self, request: web.Request) -> web.StreamResponse:
        """In no contract, but both SDKs ask for it."""
        return web.json_response({"status": "ok"})

    async def _results(self, request: web.Request) -> web.StreamResponse:
        """The results WebSocket. A stream that was never heard of is refused before the upgrade."""
        if not self._gateway.knows(_stream_id(request)):
            raise ApiError(404, "stream_not_found", "there is no such stream")
        socket = new_socket()
        try:
            await socket.prepare(request)
        except ConnectionResetError:  # the client has gone meanwhile
            return socket
        await self._serve(request, socket)
        return socket

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        try:
            key = self._gateway.authorize(await read_key(socket))
            stream = self._gateway.find(key, _stream_id(request))
        except ApiError as error:
            await close(socket, request, Close(1008, error.message))
            return
        if stream.ended is not None:
            await close(socket, request, Close(1001, stream.ended))
            return
        subscriber = stream.subscribe()
        if subscriber is None:
            await close(socket, request, Close(1013, "too many sockets on this stream"))
            return
        try:
            await pump(socket, request, subscriber)
        finally:
            stream.unsubscribe(subscriber)

    # what surrounds an operation

    def _operation(self, act: Callable[[str, web.Request], Awaitable[tuple[int, Any]]]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            key = self._gateway.authorize(_bearer(request))
            status, body = await act(key, request)
            self._gateway.contract.check_response(str(request.match_info.route.name), status, body)
            return web.Response(status=204) if body is None else web.json_response(body, status=status)

        return self._enveloped(handle)

    def _enveloped(self, handle: Handler) -> Handler:
        """Faults around, errors as JSON, a request id and CORS on top, and a count of it all in the ledger."""

        async def envelope(request: web.Request) -> web.StreamResponse:
            request_id = uuid.uuid4().hex
            operation = request.match_info.route.name or "unknown"
            try:
                response = await self._with_faults(operation, handle, request)
            except ApiError as error:
                response = self._error(operation, error, request_id)
            except web.HTTPException as error:
                response = self._error(operation, ApiError(error.status, "bad_request", error.reason), request_id)
            except Exception as error:  # noqa: BLE001 (logged, answered with 500, and it fails the run)
                _LOG.exception("%s failed", operation)
                self._gateway.ledger.violated(f"the simulator itself failed in {operation}: {error!r}")
                response = self._error(operation, ApiError(500, "internal_error", "see the log"), request_id)
            self._gateway.ledger.requests[f"{operation} {response.status}"] += 1
            if not response.prepared:
                response.headers["X-Request-Id"] = request_id
                _allow_origin(request, response)
            return response

        return envelope

    async def _with_faults(self, operation: str, handle: Handler, request: web.Request) -> web.StreamResponse:
        striking = self._gateway.faults.on(operation, time.monotonic())
        wrong: OnOperation | None = None
        for fault in striking:
            if isinstance(fault, Latency):
                await asyncio.sleep(fault.seconds)
            else:
                wrong = fault
        if wrong is None:
            return await handle(request)
        if wrong.after and operation != RESULTS:
            await handle(request)
        return await _misbehave(wrong, request)

    def _error(self, operation: str, error: ApiError, request_id: str) -> web.Response:
        body = {"error": error.error, "message": error.message, "request_id": request_id, "details": error.details}
        self._gateway.contract.check_response(operation, error.status, body)
        headers = {} if error.retry_after is None else {"Retry-After": f"{error.retry_after:g}"}
        return web.json_response(body, status=error.status, headers=headers)


async def _misbehave(fault: OnOperation, request: web.Request) -> web.StreamResponse:
    match fault:
        case Status():
            raise ApiError(fault.status, "injected_fault", "a fault was asked for", retry_after=fault.retry_after)
        case NotJson():
            return web.Response(status=fault.status, text=_PAGE, content_type="text/html")
        case Redirect():
            return web.Response(status=302, headers={"Location": fault.location})
        case Hang():
            await _until_client_leaves(request)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=504)  # which nobody receives


async def _until_client_leaves(request: web.Request) -> None:
    """At most HANG_SECONDS."""
    until = time.monotonic() + HANG_SECONDS
    # aiohttp tells a handler of a closed connection only by cancelling it, which would also cut honest operations short
    while request.transport is not None and not request.transport.is_closing() and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def _body(request: web.Request) -> Any:
    try:
        return json.loads(await request.read(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        problem = Problem("body", f"is not JSON: {error}")
        raise ApiError(422, "validation_error", f"body: {problem.message}", [problem]) from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _bearer(request: web.Request) -> str | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _stream_id(request: web.Request) -> str:
    return request.match_info["stream_id"]


def _allow_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Any page may call, with credentials (the JavaScript SDK sends `credentials: include`), so the origin is named."""
    origin = request.headers.get("Origin")
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-Id"
        response.headers["Vary"] = "Origin"
