"""What connects the streams to the world: one HTTP pool, one TLS truth, one watcher of the kernel's routes, and what
carries video."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from overshootd import __version__, proxies
from overshootd.api.http import Http
from overshootd.api.v02 import V02
from overshootd.config.load import Loaded, load
from overshootd.config.model import StreamConfig
from overshootd.config.secret import Redactor, Secret
from overshootd.config.transports import LiveKitTransport, RoomLogin
from overshootd.contracts import Api, Log, Paths, Publishers
from overshootd.network import Network
from overshootd.paths import Change
from overshootd.publish.choose import Encoders, StreamPublishers, Transports
from overshootd.publish.managed import OwnRoom
from overshootd.resolver import Resolver
from overshootd.status import PathState

JOINS_SECONDS = 0.2


class Key:
    """An API key that may be another by the time it is refused: whoever replaced it need not restart us."""

    def __init__(self, key: Secret, read: Callable[[], Secret | None], hide: Callable[[Secret], None]) -> None:
        self._key, self._read, self._hide = key, read, hide

    def __call__(self, again: bool) -> Secret:
        """The key; `again`: as it is written now, which takes some milliseconds."""
        if again and (key := self._read()) is not None and key != self._key:
            self._key = key
            self._hide(key)
        return self._key


class Outside:
    """Satisfies daemon.Outside."""

    def __init__(self, path: Path, loaded: Loaded, redactor: Redactor, log: Log, resolver: Resolver) -> None:
        self._path = path
        self._loaded = loaded
        self._redactor = redactor
        self._resolver = resolver
        self._log = log
        proxies.tell(os.environ, log)
        self._tls = ssl.create_default_context()  # the system's authorities, or SSL_CERT_FILE's
        self._http = Http(self._tls, f"overshootd/{__version__}")
        self._transports = Transports()
        self._encoders = Encoders(log)
        self.path_state = PathState()
        self._network = Network(self._hosts, log, self._path_changed)

    @property
    def paths(self) -> Paths:
        return self._network

    async def watch(self) -> NoReturn:
        await self._network.run()

    def _hosts(self) -> frozenset[str]:
        """Whom we talk to: the API, signalling, where media goes, and a proxy on the way."""
        api = urlsplit(self._loaded.api.base_url).hostname or ""
        return frozenset({api, *self._transports.peers(), *proxies.hosts(os.environ)} - {""})

    def _path_changed(self, change: Change) -> None:
        if change.text != self.path_state.what:  # one that had to wait for its turn comes twice
            self.path_state.changed(change.text, time.monotonic())
        if change.start:
            self._resolver.renew()
            self._http.drop_connections()

    def api(self, name: str) -> Api | None:
        if (key := self._loaded.key_of(name)) is None:
            return None
        read = Key(key, lambda: load(self._path, os.environ).key_of(name), self._redactor.add)
        log = self._log.bind(stream=name)
        return V02(self._http, self._tls, self._loaded.api.base_url, read, log, self._redactor.remember)

    def publishers(self, name: str, config: StreamConfig) -> Publishers:
        log = self._log.bind(stream=name)
        return StreamPublishers(config, self._transports, self._encoders, log, self._own_room(name, config))

    def _own_room(self, name: str, config: StreamConfig) -> OwnRoom | None:
        if not isinstance(config.transport, LiveKitTransport):
            return None
        return OwnRoom(config.transport, config.room_login, lambda: self._login_of(name), self._redactor)

    def _login_of(self, name: str) -> RoomLogin | None:
        """The way into the stream's own room as the configuration has it now."""
        config = load(self._path, os.environ).streams.get(name)
        return None if config is None else config.room_login

    async def close(self) -> None:
        await self._encoders.close()
        await self._transports.close(JOINS_SECONDS)
        await self._http.close()
