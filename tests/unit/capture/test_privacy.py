"""Nothing of what is hidden can be seen in any picture, at any size, and what is not hidden is left alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from overshootd.capture.privacy import BLACK, GREY, Curtain, Size, covered, margin, seen
from overshootd.config.cameras import Polygon, Rectangle, View
from overshootd.contracts import Picture, PixelFormat
from overshootd.ffmpeg.draw import Drawer

Plane = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Places = NDArray[np.float64]
Paint = Callable[[Places, Places], Mask]
Point = tuple[float, float]

CAMERA = (96, 64)
WHITE = 235

# Fractions that fall on, beside and between pixels.
fractions = st.floats(0, 1) | st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.999999, 1.0])
corners = st.tuples(fractions, fractions)
polygons = st.lists(corners, min_size=3, max_size=7).map(lambda points: Polygon(points=tuple(points)))
extents = st.floats(0.001, 1)
rectangles = st.builds(Rectangle, x=fractions, y=fractions, width=extents, height=extents)
masks = st.lists(polygons | rectangles, min_size=1, max_size=3).map(tuple)
# Smaller ones leave fewer pixels of CAMERA than can be shown.
crop_sides = st.tuples(st.floats(0, 0.6), st.floats(0.4, 1)).map(lambda side: (side[0], min(side[1], 1 - side[0])))
crops = st.builds(
    lambda across, down: Rectangle(x=across[0], width=across[1], y=down[0], height=down[1]), crop_sides, crop_sides
)
sizes = st.tuples(st.integers(8, 100), st.integers(8, 70)).map(lambda size: (size[0] * 2, size[1] * 2))


def planes(data: Plane, width: int, height: int) -> tuple[Plane, Plane, Plane]:
    luma, chroma = np.split(data[: width * height * 5 // 4], [width * height])
    shape = (height // 2, width // 2)
    return luma.reshape(height, width), chroma.reshape(shape), data[width * height * 5 // 4 :].reshape(shape)


def shown(view: View, frame: Plane, camera: Size, size: Size) -> tuple[Plane, Plane, Plane]:
    """What is published at `size` of a camera's frame, scaled as every camera does."""
    source, drawer = av.VideoFrame.from_ndarray(frame.reshape(-1, camera[0]), "yuv420p"), Drawer()

    def whole(width: int, height: int) -> Picture:
        return Picture(drawer.draw(source, width, height), width, height, PixelFormat.I420, 7)

    picture = Curtain(view).show(whole, camera, *size)
    assert (picture.width, picture.height, picture.captured_ns) == (*size, 7)
    assert len(picture.data) == size[0] * size[1] * 3 // 2
    return planes(np.frombuffer(picture.data, np.uint8), *size)


def frame(paint: Paint, camera: Size = CAMERA) -> Plane:
    """A black picture with bright blue pixels, as a camera sees them: wherever `paint` says so of any part of one."""
    width, height = camera
    y, x = np.mgrid[0 : 2 * height + 1, 0 : 2 * width + 1]
    spots = paint(x / width / 2, y / height / 2)
    corners = [spots[down:, across:][: 2 * height : 2, : 2 * width : 2] for down in (0, 1, 2) for across in (0, 1, 2)]
    hit = np.logical_or.reduce(corners)
    blocks = hit.reshape(height // 2, 2, width // 2, 2).any(axis=(1, 3))
    luma = np.where(hit, WHITE, BLACK).astype(np.uint8).ravel()
    u = np.where(blocks, 240, GREY).astype(np.uint8).ravel()
    return np.concatenate([luma, u, np.full(u.size, GREY, np.uint8)])


def inside(mask: Rectangle | Polygon, x: Places, y: Places) -> Mask:
    """Whether points are masked; where a polygon crosses itself, inside is what its outline goes around."""
    if isinstance(mask, Rectangle):
        return (mask.x <= x) & (x <= mask.x + mask.width) & (mask.y <= y) & (y <= mask.y + mask.height)
    winding = np.zeros(np.shape(x), int)
    for (x0, y0), (x1, y1) in zip(mask.points, (*mask.points[1:], mask.points[0]), strict=True):
        side = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
        winding += (y0 <= y) & (y < y1) & (side > 0)
        winding -= (y1 <= y) & (y < y0) & (side < 0)
    return np.asarray(winding != 0)


@settings(deadline=None)
@given(masks, st.none() | crops, sizes)
def test_nothing_of_a_masked_part_survives(
    parts: tuple[Polygon | Rectangle, ...], crop: Rectangle | None, size: Size
) -> None:
    secret = frame(lambda x, y: np.logical_or.reduce([inside(mask, x, y) for mask in parts]))
    luma, u, _ = shown(View(masks=parts, crop=crop), secret, CAMERA, size)
    assert luma.max() <= BLACK + 2, "a bright pixel"
    assert u.max() <= GREY + 2, "a colour"


@settings(deadline=None)
@given(polygons | rectangles, sizes)
def test_what_is_not_masked_is_left_alone(mask: Polygon | Rectangle, size: Size) -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(30, 220, CAMERA[0] * CAMERA[1] * 3 // 2, dtype=np.uint8)
    masked, plain = (shown(view, source, CAMERA, size) for view in (View(masks=(mask,)), View()))
    grown = [margin(size[axis] / CAMERA[axis]) + 1 for axis in (0, 1)]
    points = mask.points if isinstance(mask, Polygon) else _rectangle(mask)
    for plane, before, scale in zip(masked, plain, (1, 2, 2), strict=True):
        rows, columns = np.nonzero(plane != before)
        at = (columns + 0.5) * scale / size[0], (rows + 0.5) * scale / size[1]
        reach = grown[0] * scale / size[0], grown[1] * scale / size[1]
        assert (inside(mask, *at) | _near(points, at, reach)).all()


def _rectangle(mask: Rectangle) -> tuple[Point, ...]:
    right, bottom = min(mask.x + mask.width, 1), min(mask.y + mask.height, 1)
    return (mask.x, mask.y), (right, mask.y), (right, bottom), (mask.x, bottom)


def _near(points: tuple[Point, ...], at: tuple[Places, Places], reach: Point) -> Mask:
    """Whether the outline comes into the boxes around places (Liang and Barsky's clipping)."""
    near = np.zeros(at[0].shape, np.bool_)
    for begin, end in zip(points, (*points[1:], points[0]), strict=True):
        low, high = np.zeros(at[0].shape), np.ones(at[0].shape)
        for axis in (0, 1):
            start, way = begin[axis] - at[axis], end[axis] - begin[axis]
            if abs(way) < 1e-12:
                high = np.where(np.abs(start) <= reach[axis], high, -1)
            else:
                cuts = np.sort([(-reach[axis] - start) / way, (reach[axis] - start) / way], axis=0)
                low, high = np.maximum(low, cuts[0]), np.minimum(high, cuts[1])
        near |= low <= high
    return near


@settings(deadline=None)
@given(polygons, st.tuples(st.integers(1, 40), st.integers(1, 30)))
def test_every_pixel_that_a_polygon_touches_is_covered(mask: Polygon, size: Size) -> None:
    hidden = covered(mask.points, size)
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    for right, down in [(a / 4, b / 4) for a in (1, 2, 3) for b in (1, 2, 3)]:
        assert not (inside(mask, (x + right) / size[0], (y + down) / size[1]) & ~hidden).any()


@settings(deadline=None)
@given(polygons | rectangles)
def test_the_smallest_mask_hides_something(mask: Polygon | Rectangle) -> None:
    luma, _, _ = shown(View(masks=(mask,)), frame(lambda x, y: x >= 0), CAMERA, CAMERA)
    assert luma.min() == BLACK


def test_where_a_polygon_crosses_itself_its_middle_is_hidden_too() -> None:
    pentagram = tuple(
        (0.5 + 0.5 * math.sin(turn * 0.8 * math.pi), 0.5 - 0.5 * math.cos(turn * 0.8 * math.pi)) for turn in range(5)
    )
    assert covered(pentagram, (50, 50))[25, 25]
    bow_tie = ((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0))
    hidden = covered(bow_tie, (50, 50))
    assert hidden[25, 2] and hidden[25, 47] and not hidden[2, 25]


@settings(deadline=None)
@given(crops, sizes)
def test_nothing_beyond_a_crop_is_shown(crop: Rectangle, size: Size) -> None:
    """Beyond by more than the scaler's reach, that is."""
    reach = 1.5 / min(*CAMERA, *size)

    def beyond(x: Places, y: Places) -> Mask:
        across = (x < crop.x - reach) | (x > crop.x + crop.width + reach)
        return across | (y < crop.y - reach) | (y > crop.y + crop.height + reach)

    luma, _, _ = shown(View(crop=crop), frame(beyond), CAMERA, size)
    assert luma.max() <= BLACK + 2


@settings(deadline=None)
@given(crops)
def test_a_crop_at_its_own_size_is_the_cameras_pixels(crop: Rectangle) -> None:
    source = np.random.default_rng(0).integers(30, 220, CAMERA[0] * CAMERA[1] * 3 // 2, dtype=np.uint8)
    size = seen(CAMERA, crop)
    luma, u, v = shown(View(crop=crop), source, CAMERA, size)
    whole, whole_u, whole_v = planes(source, *CAMERA)
    places = [(x, y) for x in range(0, 96 - size[0] + 1, 2) for y in range(0, 64 - size[1] + 1, 2)]
    near = [(x, y) for x, y in places if -0.01 <= x - crop.x * 96 <= 2 and -0.01 <= y - crop.y * 64 <= 2]
    assert any(
        np.array_equal(luma, whole[y : y + size[1], x : x + size[0]])
        and np.array_equal(u, whole_u[y // 2 : (y + size[1]) // 2, x // 2 : (x + size[0]) // 2])
        and np.array_equal(v, whole_v[y // 2 : (y + size[1]) // 2, x // 2 : (x + size[0]) // 2])
        for x, y in near
    )


@given(crops, sizes)
def test_a_crop_shows_its_middle_in_the_middle(crop: Rectangle, size: Size) -> None:
    """At whatever scale: a slope stays where it was, but for the pixels that evenness takes."""
    width, height = CAMERA
    slope = np.broadcast_to((30 + 2 * np.arange(width)).astype(np.uint8), (height, width)).ravel()
    source = np.concatenate([slope, np.full(width * height // 2, GREY, np.uint8)])
    luma, _, _ = shown(View(crop=crop), source, CAMERA, size)
    middle = 30 + 2 * (width * (crop.x + crop.width / 2) - 0.5)
    assert luma.mean() == pytest.approx(middle, abs=2 + 4 * max(1, width * crop.width / size[0]))


@given(st.tuples(st.integers(16, 5000), st.integers(16, 5000)), crops)
def test_what_is_seen_of_a_camera_is_even_and_no_more_than_there_is(camera: Size, crop: Rectangle) -> None:
    for axis, fraction in zip((0, 1), (crop.width, crop.height), strict=True):
        left = seen(camera, crop)[axis]
        assert left % 2 == 0
        assert camera[axis] * fraction - 5 < left <= camera[axis] * fraction + 2e-3


def test_without_a_crop_all_is_seen() -> None:
    assert seen((641, 361), None) == (641, 361)
    assert seen((1280, 720), Rectangle(x=0.0, y=0.0, width=1.0, height=1.0)) == (1280, 720)


def test_tenths_are_what_they_seem() -> None:
    assert seen((1280, 720), Rectangle(x=0.1, y=0.1, width=0.7, height=0.7)) == (896, 504)


def test_the_whole_picture_stays_as_it_was_for_the_streams_that_may_see_it() -> None:
    data = bytearray(b"\xc8" * (16 * 16 * 3 // 2))
    whole = Picture(data, 16, 16, PixelFormat.I420, 0)
    view = View(masks=(Rectangle(x=0.0, y=0.0, width=1.0, height=1.0),))
    picture = Curtain(view).show(lambda width, height: whole, (16, 16), 16, 16)
    assert set(data) == {0xC8}
    assert set(bytes(picture.data)) == {BLACK, GREY}


@pytest.mark.parametrize("change", [{"format": PixelFormat.RGB24}, {"width": 18}])
def test_a_picture_that_cannot_be_masked_is_refused(change: dict[str, object]) -> None:
    given: dict[str, object] = {"data": bytes(1000), "width": 16, "height": 16, "format": PixelFormat.I420}
    picture = Picture(**given | change, captured_ns=0)  # type: ignore[arg-type]
    view = View(masks=(Rectangle(x=0.0, y=0.0, width=0.5, height=0.5),))
    with pytest.raises(ValueError, match="16x16 i420"):
        Curtain(view).show(lambda width, height: picture, (16, 16), 16, 16)
