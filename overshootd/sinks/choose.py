"""From a sink's configuration to the sink."""

from __future__ import annotations

from pathlib import Path

from overshootd.config.sinks import FileSink as FileSinkConfig
from overshootd.config.sinks import SinkConfig
from overshootd.contracts import Log, Sink
from overshootd.sinks.disk import Disk
from overshootd.sinks.file import FileSink


def sink_for(config: SinkConfig, *, stream: str, device: str, disk: Disk, log: Log) -> Sink:
    """The sink that `config` describes for this stream; nothing is opened yet."""
    match config:
        case FileSinkConfig():
            return FileSink(config, file_path(config.path, stream=stream, device=device), disk, log)
        case _:
            raise NotImplementedError(config.type)


def file_path(template: str, *, stream: str, device: str) -> Path:
    """Fill in {stream} and {device}; everything else in it is meant as it stands."""
    return Path(template.replace("{stream}", stream).replace("{device}", device))
