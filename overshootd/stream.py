"""One attempt of one stream, on one page: take up a session, keep video arriving in its room, keep the lease, deliver
results.

The first failure that nothing of this session can mend ends the attempt; everything closes in reverse.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from overshootd.backoff import NETWORK
from overshootd.config.model import StreamConfig
from overshootd.contracts import (
    Api,
    CaptureFormat,
    Leftovers,
    Log,
    Paths,
    Publisher,
    Publishers,
    PublishPlan,
    Session,
    StreamSpec,
    Subscription,
    Tally,
)
from overshootd.controls import Control
from overshootd.errors import CameraEnded, CameraLost, Congested, NotOurs, Permanent, Refused, StreamGone, Transient
from overshootd.groups import TaskGroup
from overshootd.meter import Meter
from overshootd.pacing import Pacer, period, plan, rate, results_due
from overshootd.presence import Presence
from overshootd.records import Records
from overshootd.route import Kind, Routes

CREATE_TIMEOUT = 2.0
CLOSE_TIMEOUT = 5.0
"""Seconds for leaving the room and the DELETE, side by side; the daemon has 10 s for its whole end."""

SHOW_SECONDS = 0.5

COUNT_SECONDS = 10.0
"""From one look at what was sent to the next: what is counted is read by the day."""

WORST_FIRST = (Permanent, CameraEnded, Refused, StreamGone, CameraLost, Transient)
"""When several tasks fail at once, the one that asks for most is the reason."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an attempt is made of. `keep_stream` says at the end whether the API's stream is left for a next process."""

    name: str
    config: StreamConfig
    camera: Subscription
    control: Control
    api: Api
    publishers: Publishers
    records: Records
    tally: Tally
    keep_stream: Callable[[], bool]
    routes: Routes
    paths: Paths
    leftovers: Leftovers
    log: Log


async def attempt(parts: Parts) -> NoReturn:
    """Run until something fails. Raises Transient and its kinds, Permanent, CameraEnded."""
    # A stream is billed from its creation: none is made before the camera gives pictures.
    camera = await parts.camera.ready()
    publishing, kind = await _plan(parts, camera)
    publisher = parts.publishers(publishing)
    prompt = parts.control.prompt
    try:
        session = await _session(parts, publisher, prompt)
    except BaseException:
        await publisher.close()
        raise
    meter = Meter(parts.tally, parts.name, partial(results_due, parts.config.processing))
    presence = _presence(parts, session, publisher, publishing, lambda: _start(parts.camera, camera, kind, publishing))
    try:
        async with TaskGroup() as tasks:
            tasks.create_task(_ask(session, parts, prompt), name="prompt")
            tasks.create_task(session.keep_lease(), name="lease")
            tasks.create_task(_follow(parts.paths, session), name="path")
            tasks.create_task(presence.run(), name="publish")
            tasks.create_task(_deliver(session, parts, presence, meter), name="results")
            tasks.create_task(_better(parts.publishers), name="better transport")
            tasks.create_task(_show(session, parts), name="show what is known")
            tasks.create_task(_count(session, presence, meter), name="count")
    except BaseExceptionGroup as group:
        if group.subgroup(Congested):
            parts.routes.remember_congestion()
        raise reason(group) from group
    finally:
        parts.camera.stop()
        try:
            await _close(presence, session, parts)
        finally:
            meter.look(session.lease.spent, presence.sent)
    raise AssertionError("unreachable: the tasks never return")


def spec(config: StreamConfig, source: Mapping[str, Any], prompt: str) -> StreamSpec:
    """The create request's words; `prompt` takes the place of the configured one."""
    return StreamSpec(
        source=source,
        mode=config.mode,
        processing=config.processing.model_dump(exclude_none=True),
        inference=config.inference.model_dump(exclude_none=True) | {"prompt": prompt},
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


async def _plan(parts: Parts, camera: CaptureFormat) -> tuple[PublishPlan, Kind]:
    processing, publish = parts.config.processing, parts.config.publish
    keyframes = parts.publishers.keyframe_seconds
    fps, hides = rate(processing, publish), parts.config.view.hides
    kind = parts.routes.choose(camera, fps, publish, hides=hides, keyframes=keyframes)
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


async def _session(parts: Parts, publisher: Publisher, prompt: str) -> Session:
    """The one that an earlier process left, or a new one."""
    if (kept := parts.leftovers.kept(parts.name, prompt)) is not None:
        try:
            session = await parts.api.resume(*kept)
        except (StreamGone, NotOurs) as error:
            parts.log.info(f"not resumed: {error}", stream_id=kept[0])
            await parts.leftovers.ended(parts.name, kept[0], settled=True)
        else:
            parts.log.info("resumed", stream_id=session.stream_id)
            return session
    source = await publisher.source()
    await parts.leftovers.cleared()
    return await _create(parts, spec(parts.config, source, prompt))


async def _create(parts: Parts, wanted: StreamSpec) -> Session:
    creating = asyncio.create_task(parts.api.create(wanted), name="create")
    try:
        return await asyncio.shield(creating)
    except asyncio.CancelledError:
        # The request may have arrived: a stream whose id nobody read is billed until its lease ends.
        await _within(CREATE_TIMEOUT, [creating])
        if not creating.cancelled() and creating.exception() is None and not await creating.result().close():
            await _remember(creating.result(), parts, wanted.inference["prompt"])
        raise


async def _remember(session: Session, parts: Parts, prompt: str) -> None:
    await parts.leftovers.created(parts.name, session, parts.publishers.transport, prompt)


async def _ask(session: Session, parts: Parts, asked: str) -> NoReturn:
    """Have the running stream look for what is wanted now; `asked`: what it was made with. Raises StreamGone,
    Refused."""
    control, failures = parts.control, 0
    parts.records.asked(asked)
    await _remember(session, parts, asked)
    while True:
        wanted = await control.other_prompt(asked)
        try:
            await session.set_prompt(wanted)
        except (StreamGone, Refused):
            raise
        except Transient as error:
            if not failures:
                parts.log.warning(f"the new prompt is tried again: {error}")
            await asyncio.sleep(NETWORK.delay(failures, random.uniform, error.retry_after))
            failures += 1
        except Permanent as error:  # the stream runs, and what it was asked before is better than nothing
            parts.log.error(f"the new prompt is not taken, and the stream keeps the one that it has: {error}")
            if control.prompt == wanted:
                control.set_prompt(asked)
        else:
            asked, failures = wanted, 0
            parts.records.asked(asked)
            await _remember(session, parts, asked)


def _presence(
    parts: Parts, session: Session, publisher: Publisher, publishing: PublishPlan, begin: Callable[[], None]
) -> Presence:
    state = parts.records.state
    state.transport, state.stream_id = parts.publishers.transport, session.stream_id
    return Presence(
        session=session,
        publishers=parts.publishers,
        publisher=publisher,
        plan=publishing,
        camera=parts.camera,
        begin=begin,
        paths=parts.paths,
        period=period(parts.config.processing),
        state=state,
        changed=parts.records.changed,
        trouble=parts.records.trouble,
        log=parts.log.bind(stream_id=session.stream_id),
    )


async def _deliver(session: Session, parts: Parts, presence: Presence, meter: Meter) -> None:
    async with aclosing(session.results()) as results:
        async for result in results:
            presence.proved()
            presence.storing = True
            await parts.records.result(result, session.stream_id)
            meter.result(result.size)
            presence.storing = False
            presence.proved()  # however long that took, it was no silence


async def _show(session: Session, parts: Parts) -> NoReturn:
    """For whoever asks, which is at any time."""
    state = parts.records.state
    try:
        while True:
            lease, state.notes = session.lease, parts.publishers.notes()
            state.keepalive_sent, state.lease_until, state.token_at = lease.sent, lease.until, lease.token
            state.cents_left = lease.spent.left
            await asyncio.sleep(SHOW_SECONDS)
    finally:
        state.keepalive_sent = state.lease_until = state.token_at = state.cents_left = None
        state.stream_id = ""


async def _count(session: Session, presence: Presence, meter: Meter) -> NoReturn:
    while True:
        await asyncio.sleep(COUNT_SECONDS)
        await presence.count()
        meter.look(session.lease.spent, presence.sent)


async def _follow(paths: Paths, session: Session) -> NoReturn:
    """Whatever else is under way, the session learns of each change at once."""
    seen = paths.changes
    while True:
        seen = await paths.changed(seen)
        session.path_changed()


async def _better(publishers: Publishers) -> NoReturn:
    await publishers.another()
    raise StreamGone("the native transport is tried again")


async def _close(presence: Presence, session: Session, parts: Parts) -> None:
    closing: list[asyncio.Task[Any]] = [asyncio.create_task(presence.close(), name="leave")]
    if not parts.keep_stream():
        closing.append(asyncio.create_task(_end(session, parts), name="delete"))
    try:
        await _within(CLOSE_TIMEOUT, closing)
    except asyncio.CancelledError:
        # The end of the daemon may come while an attempt closes; the DELETE is under way, and money.
        await _within(CLOSE_TIMEOUT, closing)
        raise
    for task in closing:
        if not task.cancelled():
            task.result()


async def _end(session: Session, parts: Parts) -> None:
    settled = await session.close()
    await parts.leftovers.ended(parts.name, session.stream_id, settled=settled)


async def _within(seconds: float, tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Wait for tasks; those that take longer are cancelled, and awaited. Itself cancelled, it leaves them running."""
    await asyncio.wait(tasks, timeout=seconds)
    late = [task for task in tasks if not task.done()]
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=1.0)
