"""All the streams of one configuration: their cameras, attempts, spool and sinks, begun in order and ended in
reverse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import NoReturn, Protocol

from overshootd.capture.choose import camera_for
from overshootd.capture.feed import CameraFeed
from overshootd.capture.hotplug import Hotplug
from overshootd.capture.recovery import Recoverer
from overshootd.capture.scrutiny import Scrutiny
from overshootd.clock import clock_synced
from overshootd.config.cameras import RealCamera, RtspCamera
from overshootd.config.fingerprint import stream_fingerprint
from overshootd.config.load import Loaded
from overshootd.config.model import StreamConfig
from overshootd.contracts import Api, CameraState, Log, Paths, Publishers, Tally
from overshootd.controls import KeptControls
from overshootd.groups import TaskGroup
from overshootd.leftovers import Streams
from overshootd.outlets import Outlets
from overshootd.pacing import need, period
from overshootd.records import Records
from overshootd.resume import ResumeStore
from overshootd.route import Routes
from overshootd.sight import camera_of
from overshootd.sinks.record import Origin
from overshootd.sinks.spool import Spool
from overshootd.status import CameraNow, State, StreamState, status_line
from overshootd.stream import Parts, attempt
from overshootd.supervisor import Pausable, StreamLife
from overshootd.systemd import Ending


def initial_states(loaded: Loaded) -> dict[str, StreamState]:
    """Every stream that the configuration names, also those that will not run, for status."""
    states = {
        name: StreamState(State.STARTING if config.enabled else State.DISABLED)
        for name, config in loaded.streams.items()
    }
    return states | {name: StreamState(State.BROKEN, str(problems[0])) for name, problems in loaded.broken.items()}


class Asked(Exception):
    """The daemon was asked to end."""


class Outside(Protocol):
    """What connects the streams to the world; made by the composition root."""

    def api(self, name: str) -> Api | None:
        """For a stream of this name, which may be configured no more; None without a key."""

    def publishers(self, name: str, config: StreamConfig) -> Publishers: ...

    @property
    def paths(self) -> Paths: ...

    async def watch(self) -> NoReturn:
        """Learn of the kernel where the paths to our peers go."""


@dataclass(slots=True)
class CameraWord:
    """What is told of one camera: to the log, to the status through `cameras`, and to the records of its streams."""

    name: str
    log: Log
    records: list[Records]
    cameras: MutableMapping[str, CameraNow]
    changed: Callable[[], None]
    lost_at: float | None = None

    def __call__(self, state: CameraState, why: str) -> None:
        """It changed its state."""
        bad = state in (CameraState.LOST, CameraState.FAILED)
        self.cameras[self.name] = CameraNow(state, why if bad else "")
        words = f"camera {state}: {why}" if why else f"camera {state}"
        if bad:
            self.log.warning(words)
            self.lost_at = self.lost_at or time.monotonic()
        else:
            away = {} if self.lost_at is None else {"after_seconds": round(time.monotonic() - self.lost_at, 1)}
            self.log.info(words, **away)
            self.lost_at = None
        self._record(state, why)
        self.changed()

    def recovered(self, why: str) -> None:
        """More was done for it than opening it again."""
        self._record(CameraState.LOST, why)

    def _record(self, state: CameraState, why: str) -> None:
        for records in self.records:
            records.camera(self.name, state, why)


def _is_device(streams: Mapping[str, StreamConfig]) -> bool:
    """Whether the camera of these streams may be one that is plugged in: a network camera never is, and whoever asks
    one too often with a wrong password is locked out."""
    camera = next(iter(streams.values())).camera
    return isinstance(camera, RealCamera) and not isinstance(camera, RtspCamera)


def _nudge(feeds: list[CameraFeed]) -> None:
    for feed in feeds:
        feed.nudge()


class Daemon:
    """Runs a configuration until it is asked to end. `states` is what each stream does, by name; `tell` shows the
    status."""

    def __init__(
        self,
        loaded: Loaded,
        states: Mapping[str, StreamState],
        log: Log,
        spool: Spool,
        outlets: Outlets,
        store: ResumeStore,
        controls: KeptControls,
        tally: Tally,
        tell: Callable[[str], None],
        redact: Callable[[str], str],
    ) -> None:
        self._loaded = loaded
        self._enabled = {name: config for name, config in loaded.streams.items() if config.enabled}
        self._states = states
        self._log = log
        self._spool = spool
        self._outlets = outlets
        self._store = store
        self._controls = controls
        self._tally = tally
        self._tell = tell
        self._redact = redact
        self._keep_streams = False
        self._ending = False
        self.cameras: dict[str, CameraNow] = {}
        """What each camera does, by name, for whoever asks."""
        self.feeds: dict[str, CameraFeed] = {}
        """The cameras themselves, for whoever wants a picture."""

    async def run(self, asked: asyncio.Future[Ending], outside: Outside) -> None:
        """Return when it was asked to end and all streams have closed and all sinks have what is there."""
        async with TaskGroup() as tasks:
            syncing = tasks.create_task(self._spool.run(), name="spool")
            await self._outlets.begin()
            going_out = tasks.create_task(self._outlets.run(), name="outlets")
            await self._run_streams(asked, outside)
            self._outlets.stop()
            await asyncio.wait([going_out])
            syncing.cancel()

    # -- cameras and streams

    async def _run_streams(self, asked: asyncio.Future[Ending], outside: Outside) -> None:
        cameras = self._cameras()
        streams = Streams(self._store, self._fingerprint, outside.api, outside.paths, self._log)
        await streams.load(self._wanted())
        try:
            async with TaskGroup() as tasks:
                tasks.create_task(self._controls.run(), name="controls")
                tasks.create_task(outside.watch(), name="network")
                tasks.create_task(streams.run(), name="strays")
                self.feeds |= {
                    name: self._run_camera(name, fed, streams, outside, tasks) for name, fed in cameras.items()
                }
                devices = [self.feeds[name] for name, streams in cameras.items() if _is_device(streams)]
                if devices:
                    tasks.create_task(Hotplug(lambda: _nudge(devices), self._log).run(), name="hotplug")
                tasks.create_task(self._until(asked), name="until asked")
        except* Asked:
            if not self._keep_streams:
                await streams.end()
            self._log.info("streams are kept for the next start" if self._keep_streams else "all streams are closed")

    async def _until(self, asked: asyncio.Future[Ending]) -> NoReturn:
        self._keep_streams = await asked is Ending.RESTART
        self._ending = True
        raise Asked

    def _cameras(self) -> dict[str, dict[str, StreamConfig]]:
        """The cameras by name, each with its streams."""
        cameras: dict[str, dict[str, StreamConfig]] = {}
        for name, config in self._enabled.items():
            cameras.setdefault(camera_of(name, config), {})[name] = config
        return cameras

    def _run_camera(
        self,
        camera: str,
        fed: Mapping[str, StreamConfig],
        streams: Streams,
        outside: Outside,
        tasks: asyncio.TaskGroup,
    ) -> CameraFeed:
        """Begin a camera and its streams."""
        records = {name: self._records(name, config) for name, config in fed.items()}
        log = self._log.bind(camera=camera)
        said = CameraWord(camera, log, list(records.values()), self.cameras, self._changed)
        feed = self._feed(camera, next(iter(fed.values())), said)
        for name, config in fed.items():
            tasks.create_task(records[name].run(), name=f"records of {name}")
            tasks.create_task(
                self._run_stream(name, config, feed, records[name], streams, outside), name=f"stream {name}"
            )
        tasks.create_task(feed.run(), name=f"camera {camera}")
        return feed

    def _feed(self, name: str, config: StreamConfig, said: CameraWord) -> CameraFeed:
        camera, log = config.camera, said.log
        make = camera_for(camera, log, config.camera_password)
        if not isinstance(camera, RealCamera):
            return CameraFeed(name, make, on_state=said, log=log)
        recoverer = Recoverer(camera, said.recovered, log)
        return CameraFeed(
            name,
            recoverer.watching(make),
            on_state=said,
            log=log,
            scrutiny=Scrutiny(camera.black_seconds, camera.frozen_seconds),
            recoverer=recoverer,
        )

    async def _run_stream(
        self,
        name: str,
        config: StreamConfig,
        feed: CameraFeed,
        records: Records,
        streams: Streams,
        outside: Outside,
    ) -> None:
        control, log = self._controls.of(name), self._log.bind(stream=name)
        api = outside.api(name)
        assert api is not None, "the loader breaks a stream that has no key"
        parts_at = partial(
            Parts,
            name=name,
            config=config,
            control=control,
            api=api,
            publishers=outside.publishers(name, config),
            records=records,
            tally=self._tally,
            keep_stream=lambda: self._keep_streams,
            routes=Routes(log),
            paths=outside.paths,
            leftovers=streams,
            log=log,
        )

        async def live() -> None:
            # All streams of a camera come here before it opens: so it opens once, at the most that any of them needs.
            camera = feed.subscribe(need(config.processing, config.publish), config.view)
            parts = parts_at(camera=camera)
            try:
                await StreamLife(lambda: attempt(parts), records, outside.paths, over, log).run()
            finally:
                camera.close()

        def over() -> bool:
            return self._ending or control.paused

        try:
            await Pausable(live, control, records, lambda: streams.let_go(name)).run()
        finally:
            await records.close()

    def _wanted(self) -> dict[str, str]:
        """What the streams are asked whose former ones are taken up: those that are not paused."""
        return {name: self._controls.prompt(name) for name in self._enabled if not self._controls.paused(name)}

    def _fingerprint(self, name: str, prompt: str) -> str:
        """What the stream is at the API when it is asked that, in a word: another word, another stream."""
        config, key = self._enabled[name], self._loaded.key_of(name)
        assert key is not None, "the loader breaks a stream that has no key"
        inference = config.inference.model_copy(update={"prompt": prompt})
        return stream_fingerprint(config.model_copy(update={"inference": inference}), self._loaded.api, key)

    def _records(self, name: str, config: StreamConfig) -> Records:
        return Records(
            spool=self._spool,
            origin=Origin(self._loaded.device, name, config.labels),
            prompt=self._controls.prompt(name),
            with_schema=config.inference.output_schema_json is not None,
            period=period(config.processing),
            state=self._states[name],
            changed=self._changed,
            redact=self._redact,
            synced=clock_synced,
            log=self._log.bind(stream=name),
        )

    def _changed(self) -> None:
        troubles = {name: camera.why for name, camera in self.cameras.items() if camera.why}
        self._tell(self._redact(status_line(self._states, troubles)))
        self._outlets.changed()
