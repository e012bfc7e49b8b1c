"""One attempt of one stream, on one page: open a session, join its room, then pump frames, keep the lease, deliver
results.

The first failure ends the attempt; everything closes in reverse.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NoReturn

from overshootd.config.model import ClipProcessing, FrameProcessing, StreamConfig
from overshootd.contracts import (
    APART_SECONDS,
    Api,
    CaptureFormat,
    Publisher,
    Publishers,
    PublishPlan,
    Session,
    StreamSpec,
    Subscription,
)
from overshootd.errors import CameraEnded, CameraLost, Congested, Permanent, Refused, StreamGone, Transient
from overshootd.pacing import Pacer, period, plan, rate
from overshootd.records import Records
from overshootd.route import Kind, Routes
from overshootd.wishes import Wishes

CREATE_TIMEOUT = 2.0
CLOSE_TIMEOUT = 5.0
"""Seconds for leaving the room and the DELETE, side by side; the daemon has 10 s for its whole end."""

WORST_FIRST = (Permanent, CameraEnded, Refused, StreamGone, CameraLost, Transient)
"""When several tasks fail at once, the one that asks for most is the reason."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an attempt is made of. `keep_stream` says at the end whether the API's stream is left for a next process."""

    config: StreamConfig
    camera: Subscription
    api: Api
    publishers: Publishers
    records: Records
    keep_stream: Callable[[], bool]
    routes: Routes


async def attempt(parts: Parts) -> NoReturn:
    """Run until something fails. Raises Transient and its kinds, Permanent, CameraEnded."""
    # A stream is billed from its creation: none is made before the camera gives pictures.
    camera = await parts.camera.ready()
    publishing, kind = await _plan(parts, camera)
    session = await _create(parts.api, spec(parts.config))
    publisher = parts.publishers(publishing)
    _start(parts.camera, camera, kind, publishing)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.keep_lease(), name="lease")
            tasks.create_task(_publish(parts.camera, publisher, publishing, session), name="publish")
            tasks.create_task(_deliver(session, parts), name="results")
    except BaseExceptionGroup as group:
        if group.subgroup(Congested):
            parts.routes.remember_congestion()
        raise reason(group) from group
    finally:
        parts.camera.stop()
        await _close(publisher, session, parts.keep_stream())
    raise AssertionError("unreachable: the tasks never return")


def spec(config: StreamConfig) -> StreamSpec:
    """The create request's words."""
    return StreamSpec(
        mode=config.mode,
        processing=config.processing.model_dump(exclude_none=True),
        inference=config.inference.model_dump(exclude_none=True),
    )


def reason(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception that says best why an attempt ended; the group itself when none of it is ours."""
    for kind in WORST_FIRST:
        if matching := group.subgroup(kind):
            return _first(matching)
    return group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def silence_limit(processing: FrameProcessing | ClipProcessing) -> float:
    """Seconds without any result after which the stream is not believed any more."""
    return max(120.0, 5.0 * period(processing))


async def _plan(parts: Parts, camera: CaptureFormat) -> tuple[PublishPlan, Kind]:
    processing, publish = parts.config.processing, parts.config.publish
    kind = parts.routes.choose(camera, rate(processing, publish), publish, hides=parts.config.view.hides)
    encodes = kind is Kind.PICTURES and publish.codec in (None, "h264")
    hardware = encodes and await parts.publishers.hardware()
    return plan(processing, publish, camera, kind, hardware=hardware), kind


def _start(subscription: Subscription, camera: CaptureFormat, kind: Kind, publishing: PublishPlan) -> None:
    match kind:
        case Kind.PICTURES:
            subscription.start(Pacer(publishing.fps, camera.fps).due, publishing.width, publishing.height)
        case Kind.KEYFRAMES:
            subscription.start_encoded(Pacer(publishing.fps, 1 / (camera.keyframe_seconds or 1.0)).due)
        case Kind.UNITS:
            subscription.start_encoded()


async def _create(api: Api, wanted: StreamSpec) -> Session:
    creating = asyncio.create_task(api.create(wanted), name="create")
    try:
        return await asyncio.shield(creating)
    except asyncio.CancelledError:
        # The request may have arrived: a stream whose id nobody read is billed until its lease ends.
        await _within(CREATE_TIMEOUT, [creating])
        if not creating.cancelled() and creating.exception() is None:
            await creating.result().close()
        raise


async def _publish(camera: Subscription, publisher: Publisher, publishing: PublishPlan, session: Session) -> None:
    await publisher.connect(session.target, camera.next)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher.watch(), name="watch")
        if publishing.encoded:
            tasks.create_task(_pass_on(camera, publisher, Wishes(publishing.max_bitrate // 1000)), name="pump")
        else:
            tasks.create_task(_pump(camera, publisher), name="pump")


async def _pump(camera: Subscription, publisher: Publisher) -> NoReturn:
    while True:
        publisher.push(await camera.next())


async def _pass_on(camera: Subscription, publisher: Publisher, wishes: Wishes) -> NoReturn:
    while True:
        wish = wishes.told(publisher.push(await camera.next()), time.monotonic())
        if any(wish):
            camera.feedback(*wish)
        await asyncio.sleep(APART_SECONDS)


async def _deliver(session: Session, parts: Parts) -> NoReturn:
    limit = silence_limit(parts.config.processing)
    async with aclosing(session.results()) as results:
        while True:
            try:
                async with asyncio.timeout(limit):
                    result = await anext(results)
            except TimeoutError as error:
                raise Transient(f"no result for {limit:g} s") from error
            await parts.records.result(result, session.stream_id)


async def _close(publisher: Publisher, session: Session, keep_stream: bool) -> None:
    closing = [asyncio.create_task(publisher.close(), name="leave")]
    if not keep_stream:
        closing.append(asyncio.create_task(session.close(), name="delete"))
    try:
        await _within(CLOSE_TIMEOUT, closing)
    except asyncio.CancelledError:
        # The end of the daemon may come while an attempt closes; the DELETE is under way, and money.
        await _within(CLOSE_TIMEOUT, closing)
        raise
    for task in closing:
        if not task.cancelled():
            task.result()


async def _within(seconds: float, tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Wait for tasks; those that take longer are cancelled, and awaited. Itself cancelled, it leaves them running."""
    await asyncio.wait(tasks, timeout=seconds)
    late = [task for task in tasks if not task.done()]
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=1.0)
