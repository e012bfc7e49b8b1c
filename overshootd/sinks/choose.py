"""From a sink's configuration to the sink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from overshootd.config.pieces import Reveal
from overshootd.config.sinks import FileSink as FileSinkConfig
from overshootd.config.sinks import MqttSink as MqttSinkConfig
from overshootd.config.sinks import SinkConfig
from overshootd.config.sinks import StdoutSink as StdoutSinkConfig
from overshootd.config.sinks import WebhookSink as WebhookSinkConfig
from overshootd.contracts import Broker, Log, Sink
from overshootd.errors import ConfigError
from overshootd.sinks.disk import Disk
from overshootd.sinks.file import FileSink
from overshootd.sinks.mqtt import MqttSink
from overshootd.sinks.space import Space
from overshootd.sinks.stdout import Output, StdoutSink


@dataclass(frozen=True, slots=True)
class Ways:
    """What sinks share."""

    disk: Disk
    space: Space
    output: Output
    brokers: Mapping[str, Broker]
    reveal: Reveal


def sink_for(config: SinkConfig, ways: Ways, log: Log) -> Sink:
    """The sink that `config` describes, in which all names are filled in; nothing is opened yet.

    Raises ConfigError when its broker is configured no more.
    """
    match config:
        case FileSinkConfig():
            return FileSink(config, Path(config.path), ways.disk, log, ways.space)
        case MqttSinkConfig():
            if (broker := ways.brokers.get(config.broker)) is None:
                raise ConfigError(f"there is no broker {config.broker} any more")
            return MqttSink(config, broker)
        case WebhookSinkConfig():
            from overshootd.sinks.webhook import WebhookSink  # httpx, where it is needed

            return WebhookSink(config, ways.reveal, log)
        case StdoutSinkConfig():
            return StdoutSink(ways.output)
