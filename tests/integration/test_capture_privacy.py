"""What a stream may not see never reaches it, and streams that may see other parts share one camera with it."""

from __future__ import annotations

import asyncio

import pytest

from overshootd.config.cameras import Rectangle, View
from overshootd.contracts import AccessUnit, CaptureFormat, CaptureNeed, Media, Picture
from overshootd.errors import Permanent
from tests.integration.feed_bench import BOUND, ENCODED, SMALL, Script, bench, unit, until

LEFT = Rectangle(x=0.0, y=0.0, width=0.5, height=1.0)
MASKED = View(masks=(LEFT,))
CROPPED = View(crop=Rectangle(x=0.25, y=0.25, width=0.5, height=0.5))


def white(captured_ns: int, width: int, height: int) -> bytes:
    return b"\xeb" * (width * height * 3 // 2)


def halves(media: Media) -> tuple[set[int], set[int]]:
    """The luma in the left half and in the right one, but for the pixels between them."""
    assert isinstance(media, Picture)
    rows = [bytes(media.data[row * media.width : (row + 1) * media.width]) for row in range(media.height)]
    middle = media.width // 2
    return {value for row in rows for value in row[:middle]}, {value for row in rows for value in row[middle + 4 :]}


async def test_not_even_the_first_picture_is_unmasked() -> None:
    async with bench(Script(paint=white)) as it:
        subscription = await it.start(view=MASKED)
        for number in range(1, 6):
            assert halves(await it.give(subscription, number)) == ({16}, {235})


async def test_streams_with_and_without_masks_share_what_is_drawn() -> None:
    async with bench(Script(paint=white)) as it:
        subscriptions = [await it.start(view=view) for view in (View(), MASKED, View(masks=(LEFT,)), CROPPED)]
        it.script.made.clear()
        plain, masked, same, cropped = [
            await it.give(subscriptions[0], 7),
            *[await s.next() for s in subscriptions[1:]],
        ]
        assert it.script.made == [(7, 64, 36), (7, 128, 72)], "each size once"
        assert masked is same, "each view once"
        assert halves(plain) == halves(cropped) == ({235}, {235})
        assert halves(masked) == ({16}, {235})
        assert isinstance(cropped, Picture) and (cropped.width, cropped.height) == (64, 36)


async def test_encoded_video_is_never_passed_on_where_something_is_hidden() -> None:
    async with bench(Script(format=ENCODED)) as it:
        for view in (MASKED, CROPPED):
            subscription = it.feed.subscribe(SMALL, view)
            with pytest.raises(ValueError, match="masked or cropped"):
                subscription.start_encoded()
        plain = await it.live(unit(0, keyframe=True))
        plain.start_encoded()
        assert isinstance(await it.give(plain, unit(1, keyframe=True)), AccessUnit)


async def test_a_stream_is_told_the_size_that_its_crop_leaves() -> None:
    async with bench(Script(format=ENCODED)) as it:
        whole, part = await it.live(unit(0, keyframe=True)), it.feed.subscribe(SMALL, CROPPED)
        async with asyncio.timeout(BOUND):
            assert await whole.ready() == ENCODED
            assert await part.ready() == CaptureFormat(30.0, 640, 360, encoded=True)


async def test_a_crop_needs_a_larger_picture_of_the_camera() -> None:
    async with bench() as it:
        it.feed.subscribe(CaptureNeed(5.0, 640, 360), View(crop=Rectangle(x=0.5, y=0.0, width=0.25, height=0.5)))
        await until(lambda: it.script.opened, "opened")
        assert it.script.needs == [CaptureNeed(5.0, 2560, 720)]


async def test_a_tiny_crop_asks_for_no_more_than_any_camera_has() -> None:
    async with bench() as it:
        it.feed.subscribe(SMALL, View(crop=Rectangle(x=1.0, y=0.0, width=0.001, height=1.0)))
        await until(lambda: it.script.opened, "opened")
        assert it.script.needs == [CaptureNeed(1.0, 7680, 360)]


async def test_a_crop_too_small_to_be_shown_is_said_with_its_size() -> None:
    async with bench() as it:
        subscription = it.feed.subscribe(SMALL, View(crop=Rectangle(x=0.5, y=0.5, width=0.01, height=0.5)))
        it.script.steps.put(0)
        with pytest.raises(Permanent, match="12x360 of the camera's 1280x720 pixels"):
            async with asyncio.timeout(BOUND):
                await subscription.ready()


async def test_a_stream_that_is_masked_never_decodes_for_one_that_is_not_due() -> None:
    async with bench(Script(paint=white)) as it:
        subscription = await it.start(view=MASKED)
        subscription.start(lambda captured_ns: captured_ns == 9, 64, 36)
        it.script.made.clear()
        for number in range(1, 10):
            it.script.steps.put(number)
        async with asyncio.timeout(BOUND):
            await subscription.next()
        assert it.script.made == [(9, 64, 36)]
