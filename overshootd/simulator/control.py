"""The private control endpoint, on loopback only: the ledger, and faults to switch (docs/simulator.md)."""

from __future__ import annotations

import json
import time

from aiohttp import web
from pydantic import ValidationError

from overshootd.simulator.faults import LASTING, ONE_SHOT, OnStreams, mistakes
from overshootd.simulator.gateway import Gateway, RoomServerError


class Control:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def table(self) -> list[web.RouteDef]:
        return [
            web.get("/ledger", self._ledger),
            web.get("/arrivals", self._arrivals),
            web.get("/sent", self._sent),
            web.get("/faults", self._get_faults),
            web.put("/faults", self._put_faults),
            web.post("/actions/{name}", self._act),
        ]

    async def _ledger(self, request: web.Request) -> web.Response:
        return web.json_response(self._gateway.ledger.to_json(time.monotonic()))

    async def _arrivals(self, request: web.Request) -> web.Response:
        """Of each stream, when frames came and results were sent; only those since `?since=`, monotonic seconds."""
        try:
            since = float(request.query.get("since", 0))
        except ValueError:
            return _wrong([f"since: {request.query['since']!r} is not a number of seconds"])
        return web.json_response(self._gateway.ledger.arrivals(time.monotonic(), since))

    async def _sent(self, request: web.Request) -> web.Response:
        return web.json_response(self._gateway.ledger.told(time.monotonic()))

    async def _get_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._gateway.faults.to_json(time.monotonic()))

    async def _put_faults(self, request: web.Request) -> web.Response:
        """Replace the lasting faults by those of the body, a JSON list; `[]` ends them all."""
        try:
            faults = LASTING.validate_json(await request.read())
        except ValidationError as error:
            return _wrong(mistakes(error))
        self._gateway.faults.replace(faults, time.monotonic())
        return await self._get_faults(request)

    async def _act(self, request: web.Request) -> web.Response:
        """Do the one-shot fault of that name; the body, if any, is a JSON object with its parameters."""
        try:
            parameters = json.loads(await request.read() or b"{}")
            if not isinstance(parameters, dict):
                return _wrong(["the body is not a JSON object"])
            shot = ONE_SHOT.validate_python({**parameters, "fault": request.match_info["name"]})
        except ValidationError as error:
            return _wrong(mistakes(error))
        except ValueError as error:
            return _wrong([f"the body is not JSON: {error}"])
        if isinstance(shot, OnStreams) and shot.stream_id is not None and not self._gateway.lives(shot.stream_id):
            return _wrong([f"stream_id: no stream {shot.stream_id} is alive"])
        try:
            await self._gateway.act(shot)
        except RoomServerError as error:
            return _wrong([str(error)])
        return web.json_response({"done": shot.model_dump(exclude_none=True)})


def _wrong(lines: list[str]) -> web.Response:
    return web.json_response({"mistakes": lines}, status=422)
