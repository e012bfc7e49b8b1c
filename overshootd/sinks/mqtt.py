"""The MQTT sink: each record a message, QoS 1, and the newest result retained."""

from __future__ import annotations

import re

from overshootd.config.sinks import MqttSink as MqttSinkConfig
from overshootd.contracts import Broker, Message

RESULT = re.compile(rb'\{"schema":\d+,"type":"result","uid":"[^"]*","seq":(\d+)')
"""How a result begins (record.encode)."""


class MqttSink:
    """`config` has its topics filled in. The order is not promised after an outage: `seq` tells."""

    def __init__(self, config: MqttSinkConfig, broker: Broker) -> None:
        self._config = config
        self._broker = broker
        self._last = 0  # seq of the newest result that was retained

    @property
    def name(self) -> str:
        return f"mqtt:{self._config.broker}:{self._config.topic}"

    @property
    def live_first(self) -> bool:
        return True

    async def open(self) -> None:
        """The broker is connected to by itself."""

    async def deliver(self, lines: list[bytes], *, backlog: bool = False) -> None:
        """Return when the broker has acknowledged them. Raises Transient."""
        if not backlog:  # the broker may have a newer one, also of before our start
            self._keep_newest(lines)
        await self._broker.publish([Message(self._config.topic, line) for line in lines], backlog=backlog)

    async def sync(self) -> None:
        """What a broker has acknowledged is its own."""

    async def close(self) -> None: ...

    def _keep_newest(self, lines: list[bytes]) -> None:
        """Never an older one: what was in doubt comes again."""
        if not self._config.last_topic:
            return
        for line in reversed(lines):
            if (result := RESULT.match(line)) is not None:
                if (seq := int(result[1])) > self._last:
                    self._last = seq
                    self._broker.keep(self._config.last_topic, line)
                return
