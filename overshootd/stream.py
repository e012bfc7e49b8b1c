"""One attempt of one stream, on one page: open a session, join its room, then pump frames, keep the lease, deliver
results.

The first failure ends the attempt; everything closes in reverse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import NoReturn

from overshootd.config.model import ClipProcessing, FrameProcessing, StreamConfig
from overshootd.contracts import Api, Publisher, PublishPlan, Session, StreamSpec, Subscription
from overshootd.errors import CameraEnded, CameraLost, OvershootdError, Permanent, Refused, StreamGone, Transient
from overshootd.pacing import Pacer, plan
from overshootd.records import Records

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
    publisher: Callable[[PublishPlan], Publisher]
    records: Records
    keep_stream: Callable[[], bool]


async def attempt(parts: Parts) -> NoReturn:
    """Run until something fails. Raises Transient and its kinds, Permanent, CameraEnded."""
    # A stream is billed from its creation: none is made before the camera gives pictures.
    camera = await parts.camera.ready()
    publishing = plan(parts.config.processing, parts.config.publish, camera)
    parts.camera.start(Pacer(publishing.fps, camera.fps).due, publishing.width, publishing.height)
    session = await _create(parts.api, spec(parts.config))
    publisher = parts.publisher(publishing)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.keep_lease(), name="lease")
            tasks.create_task(_publish(parts.camera, publisher, session), name="publish")
            tasks.create_task(_deliver(session, parts), name="results")
    except BaseExceptionGroup as group:
        raise reason(group) from group
    finally:
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
    period = (
        processing.interval_seconds
        if isinstance(processing, FrameProcessing)
        else processing.clip_length_seconds + processing.delay_seconds
    )
    return max(60.0, 5.0 * period)


async def _create(api: Api, wanted: StreamSpec) -> Session:
    creating = asyncio.create_task(api.create(wanted), name="create")
    try:
        return await asyncio.shield(creating)
    except asyncio.CancelledError:
        # The request may have arrived: a stream whose id nobody read is billed until its lease ends.
        await asyncio.wait([creating], timeout=CLOSE_TIMEOUT / 2)
        if creating.done() and not creating.cancelled() and creating.exception() is None:
            await creating.result().close()
        creating.cancel()
        raise


async def _publish(camera: Subscription, publisher: Publisher, session: Session) -> None:
    await publisher.connect(session.target, await camera.next())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher.watch(), name="watch")
        tasks.create_task(_pump(camera, publisher), name="pump")


async def _pump(camera: Subscription, publisher: Publisher) -> NoReturn:
    while True:
        publisher.push(await camera.next())


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
    done, late = await asyncio.wait(closing, timeout=CLOSE_TIMEOUT)
    for task in late:
        task.cancel()
    errors = [error for task in done if (error := task.exception())]
    if errors and not isinstance(errors[0], OvershootdError):
        raise errors[0]
