import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration import namespace

# Before the imports below: numpy starts threads, and then it is too late to leave for a namespace (see there).
_REFUSED = namespace.refusal()

# isort: split
from livekit.api import AccessToken, VideoGrants  # noqa: E402

from overshootd.simulator.livekit_child import LiveKitChild, find_binary  # noqa: E402
from overshootd.simulator.media import MediaAdapter, RoomAccess  # noqa: E402
from tests.integration.media_bed import STREAM, Bed, RecordingEye, embedded, real  # noqa: E402

TTL = 60.0

_SESSION = pytest.StashKey[pytest.Session]()


@pytest.fixture(scope="session")
def media_net() -> str:
    """An address for media that is not loopback, in a network namespace of this process."""
    if _REFUSED is not None:
        decide = pytest.fail if os.environ.get("CI") else pytest.skip
        decide(f"media needs a network namespace: run as root, or allow user namespaces ({_REFUSED})")
    return namespace.ADDRESSES[0]


@pytest.fixture(scope="session")
def livekit_binary() -> Path:
    try:
        return find_binary()
    except RuntimeError as error:
        decide = pytest.fail if os.environ.get("CI") else pytest.skip
        decide(str(error))


@pytest.fixture
async def child(media_net: str, livekit_binary: Path) -> AsyncIterator[LiveKitChild]:
    server = LiveKitChild(media_net, livekit_binary)
    await server.start()
    yield server
    await server.close()


@pytest.fixture(params=["embedded", "livekit-server"])
async def bed(request: pytest.FixtureRequest, media_net: str) -> AsyncIterator[Bed]:
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "embedded":
            rooms = await stack.enter_async_context(embedded(media_net))
            yield Bed(rooms, rooms.publish_access(STREAM, TTL))
            return
        server = LiveKitChild(media_net, request.getfixturevalue("livekit_binary"))
        stack.push_async_callback(server.close)
        await server.start()
        grants = VideoGrants(room_join=True, room=STREAM, can_subscribe=False)
        token = AccessToken(server.key, server.secret).with_identity("loose").with_grants(grants)
        yield Bed(await stack.enter_async_context(real(server)), RoomAccess(server.url, token.to_jwt()))


@pytest.fixture
def rooms(bed: Bed) -> MediaAdapter:
    return bed.rooms


@pytest.fixture
async def eye(rooms: MediaAdapter) -> RecordingEye:
    """Watches the room STREAM."""
    watching = RecordingEye()
    await rooms.open_room(STREAM, watching)
    return watching


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[_SESSION] = session


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without the LiveKit library's own farewell, which aborts now and then (livekit-notes.md, "Traps")."""
    if "livekit.rtc" in sys.modules and _SESSION in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(config.stash[_SESSION].exitstatus))
