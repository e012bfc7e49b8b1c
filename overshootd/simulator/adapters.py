"""Which media adapter takes which stream. Heavy packages (aiortc, livekit) come in only here, when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

from aiohttp import web

from overshootd.simulator.gateway import Answerer, Media, RoomServer, Watch
from overshootd.simulator.media import Eye, MediaAdapter
from overshootd.simulator.options import LiveKitServer, Options


async def open_media(options: Options, url: str, stack: AsyncExitStack) -> tuple[Media, list[web.RouteDef]]:
    """The adapters, started, and the routes they need on the gateway's own port, reached under `url` (ws:// or wss://).

    Raises OSError or RuntimeError with one clear sentence. What was started ends with `stack`.
    """
    rooms, routes, server = await _rooms(options, url, stack)
    await rooms.start()
    stack.push_async_callback(rooms.close)
    return Media(rooms, _answerer(options, stack), _watch, server, options.turn), routes


async def _rooms(
    options: Options, url: str, stack: AsyncExitStack
) -> tuple[MediaAdapter, list[web.RouteDef], RoomServer | None]:
    match options.media:
        case "embedded":
            from overshootd.simulator.embedded import EmbeddedRooms

            embedded = EmbeddedRooms(options.advertise, lambda: url)
            return embedded, embedded.routes(), None
        case "livekit-server":
            from overshootd.simulator.rooms import LiveKitRooms

            server, child = await _server(options, stack)
            return LiveKitRooms(server.url, server.key, server.secret), [], child


async def _server(options: Options, stack: AsyncExitStack) -> tuple[LiveKitServer, RoomServer | None]:
    """The livekit-server to use, and the child that it is unless it was given."""
    if options.livekit is not None:
        return options.livekit, None
    from overshootd.simulator.livekit_child import LiveKitChild

    child = LiveKitChild(options.advertise)
    stack.push_async_callback(child.close)
    await child.start()
    return LiveKitServer(child.url, child.key, child.secret), child


def _answerer(options: Options, stack: AsyncExitStack) -> Answerer:
    from overshootd.simulator.webrtc import OfferAnswerer

    answerer = OfferAnswerer(options.advertise)
    stack.push_async_callback(answerer.close_all)
    return answerer


async def _watch(url: str, token: str, eye: Eye, lost: Callable[[str], None]) -> Watch:
    from overshootd.simulator.rooms import watch_foreign

    return await watch_foreign(url, token, eye, lost)
