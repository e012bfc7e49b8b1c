"""What a running daemon makes of `snapshot`: a picture of the camera that it has, which the camera hardly notices."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from overshootd.config.load import Loaded, load
from overshootd.contracts import AccessUnit, Media, Picture
from overshootd.control.picture import NotHad, read_picture
from overshootd.control.wire import Json, NotUnderstood
from overshootd.errors import CameraLost, FrameSpoiled
from overshootd.pictures import Pictures
from overshootd.sight import find
from overshootd.status import CameraNow
from tests.integration.feed_bench import BOUND, ENCODED, SMALL, Bench, Script, bench, unit, until

CAMERAS = """
cameras:
  yard: {type: test}
  spare: {type: test}
streams:
  a: {camera: yard, publish: {size: 1920x1080}, processing: {interval_seconds: 1}, inference: {prompt: x, model: y}}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    path = tmp_path / "x.yaml"
    path.write_text(CAMERAS)
    return load(path, {}, api_keys=False)


@dataclass
class Asking:
    """Asks for pictures of a camera that a stream has open, at some frames of 640x360."""

    it: Bench
    answer: Pictures

    def begin(self, name: str = "yard", timeout: float = BOUND, fingerprint: str = "") -> asyncio.Task[Json]:
        return asyncio.create_task(self._ask({"name": name, "timeout": timeout, "fingerprint": fingerprint}))

    async def _ask(self, request: Json) -> Json:
        return await self.answer(request)

    async def fed(self, asked: asyncio.Task[Json]) -> Json:
        """The answer, with frames as long as it takes."""
        await self.feed(asked.done)
        return asked.result()

    async def feed(self, done: Callable[[], bool]) -> None:
        """Frames until something has come of them."""
        async with asyncio.timeout(BOUND):
            for number in itertools.count(1):
                if done():
                    return
                self.it.script.steps.put(number)
                await asyncio.sleep(0.01)  # the frame interval


def asking(it: Bench, loaded: Loaded, state: str = "live", why: str = "") -> Asking:
    return Asking(it, Pictures(loaded, {"yard": it.feed}, {"yard": CameraNow(state, why)}))


async def test_the_camera_is_not_opened_anew_whatever_its_streams_need(loaded: Loaded) -> None:
    async with bench() as it:
        await it.live(0)
        asks = asking(it, loaded)
        answer = await asks.fed(asks.begin("a"))
        assert (answer["width"], answer["height"], answer["type"]) == (1920, 1080, "image/jpeg")
        assert it.script.needs == [SMALL]


async def test_nothing_is_drawn_once_the_picture_is_there(loaded: Loaded) -> None:
    async with bench() as it:
        await it.start(size=(64, 36))
        asks = asking(it, loaded)
        await asks.fed(asks.begin())
        await until(it.script.steps.empty, "all frames are read")
        for number in (1000, 1001):
            it.script.steps.put(number)
        await until(lambda: it.script.made[-1] == (1001, 64, 36), "the stream's pictures")
        assert it.script.made[-2:] == [(1000, 64, 36), (1001, 64, 36)], "for the stream alone"


async def test_a_spoiled_frame_is_passed_over(loaded: Loaded) -> None:
    async with bench() as it:
        await it.live(0)
        it.script.paint = spoil(2)
        asks = asking(it, loaded)
        assert (await asks.fed(asks.begin()))["width"] == 1280


def spoil(count: int) -> Callable[[int, int, int], bytes]:
    left = [FrameSpoiled("a truncated picture")] * count

    def paint(captured_ns: int, width: int, height: int) -> bytes:
        if left:
            raise left.pop()
        return bytes(width * height * 3 // 2)

    return paint


async def test_a_stream_that_passes_video_on_misses_nothing(loaded: Loaded) -> None:
    async with bench(Script(format=ENCODED)) as it:
        stream = await it.live(unit(0, keyframe=True))
        stream.start_encoded()
        it.script.paint = spoil(2)  # what refers to frames that were not decoded
        asked = asking(it, loaded).begin()
        given, passed_on = list[AccessUnit](), list[Media]()
        while not asked.done():
            given.append(unit(len(given) + 1, keyframe=True))
            passed_on.append(await it.give(stream, given[-1]))
        assert passed_on == given and len(given) > 2
        assert asked.result()["type"] == "image/jpeg"


async def test_a_camera_that_is_lost_is_not_waited_for(loaded: Loaded) -> None:
    async with bench() as it:
        await it.live(0)
        with pytest.raises(CameraLost, match=r"^a has no picture: camera yard is lost: unplugged$"):
            await asking(it, loaded, "lost", "unplugged").begin("a")


async def test_a_camera_that_is_lost_meanwhile_is_told(loaded: Loaded) -> None:
    async with bench() as it:
        await it.live(0)
        it.script.paint = spoil(1000)
        asks = asking(it, loaded)
        asked = asks.begin("a")
        await asks.feed(lambda: len(it.script.made) > 0)
        it.script.steps.put(CameraLost("unplugged"))
        with pytest.raises(CameraLost, match=r"^a has no picture: unplugged$"):
            await asked


async def test_a_camera_that_gives_nothing_is_told_with_what_it_does(loaded: Loaded) -> None:
    async with bench() as it:
        it.feed.subscribe(SMALL)
        await until(lambda: it.states == ["opening"], "it is being opened")
        with pytest.raises(CameraLost, match=r"^a gave no picture within 0.05 s: camera yard is opening$"):
            await asking(it, loaded, "opening").begin("a", timeout=0.05)


async def test_whoever_is_gone_leaves_nothing_behind(loaded: Loaded) -> None:
    async with bench() as it:
        stream = await it.live(0)
        asked = asking(it, loaded).begin()
        await asyncio.sleep(0)  # it takes part now
        asked.cancel()
        await asyncio.wait([asked])
        stream.close()
        await until(lambda: it.script.closed == 1, "nobody else needs the camera")


async def test_encoding_keeps_nobody_waiting(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    encoding, go = threading.Event(), threading.Event()

    def slow(_picture: Picture) -> bytes:
        encoding.set()
        return b"" if go.wait(BOUND) else b"late"

    monkeypatch.setattr("overshootd.pictures._jpeg", slow)
    async with bench() as it:
        stream = await it.start()
        asks = asking(it, loaded)
        asked = asks.begin()
        await asks.feed(encoding.is_set)
        it.script.steps.put(10_000)
        while (await stream.next()).captured_ns != 10_000:
            pass  # an older one, which nobody has taken
        assert not asked.done()
        go.set()
        assert (await asked)["base64"] == b""


@pytest.mark.parametrize("state", ["idle", "ended", "failed"])
async def test_a_camera_that_is_closed_may_be_opened(loaded: Loaded, state: str) -> None:
    async with bench() as it:
        answer = await asking(it, loaded, state).begin()
        with pytest.raises(NotHad, match="does not have the camera of yard open"):
            read_picture(answer)
        assert it.script.opened == 0


@pytest.mark.parametrize(
    ("name", "fingerprint", "why"),
    [
        ("b", "", "the daemon knows no stream and no camera 'b'"),
        ("spare", "", "the daemon does not have the camera of spare open"),
        ("a", "another", "another configuration of a, until it is restarted"),
    ],
)
async def test_what_the_daemon_cannot_show_may_be_opened(loaded: Loaded, name: str, fingerprint: str, why: str) -> None:
    async with bench() as it:
        answer = await asking(it, loaded).answer({"name": name, "fingerprint": fingerprint})
        with pytest.raises(NotHad, match=why):
            read_picture(answer)


async def test_whoever_takes_the_name_for_the_same_is_shown_it(loaded: Loaded) -> None:
    async with bench() as it:
        await it.live(0)
        sight = find(loaded, "a")
        assert sight is not None
        asks = asking(it, loaded)
        answer = await asks.fed(asks.begin("a", fingerprint=sight.fingerprint))
        assert answer["base64"].startswith(b"\xff\xd8"), "a JPEG"


async def test_wrong_words_are_said_to_be(loaded: Loaded) -> None:
    async with bench() as it:
        with pytest.raises(NotUnderstood, match="name: expected"):
            await asking(it, loaded).answer({})
