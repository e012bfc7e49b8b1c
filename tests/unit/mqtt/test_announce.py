"""Which streams are announced where, and what is removed of those that are gone."""

from __future__ import annotations

from typing import Any

from overshootd.config.brokers import BrokerConfig
from overshootd.config.cameras import TestCamera
from overshootd.config.model import FrameProcessing, InferenceConfig, StreamConfig
from overshootd.config.sinks import FileSink, MqttSink, SinkConfig
from overshootd.mqtt.announce import MOST_REMOVED, Announcer, announced_streams
from overshootd.mqtt.discovery import AnnouncedStream
from overshootd.mqtt.topics import Topics
from tests.remembering import RememberingLog
from tests.unit.mqtt.fakes import Broker, Streams

OURS = Topics("overshootd", "gate-pi")
SCHEMA = {"type": "object", "properties": {"person": {"type": "boolean"}}}


def stream(*sinks: SinkConfig) -> StreamConfig:
    return StreamConfig(
        camera=TestCamera(type="test"),
        mode="frame",
        processing=FrameProcessing(interval_seconds=2),
        inference=InferenceConfig(prompt="Anyone?", model="m", output_schema_json=SCHEMA),
        sinks=sinks,
    )


async def _nothing() -> dict[str, Any]:
    return {}


def announcing(*names: str, spared: tuple[str, ...] = ()) -> Broker:
    """The broker at which these streams are announced."""
    broker = Broker()
    Announcer(
        broker,
        BrokerConfig(url="mqtt://localhost"),
        OURS,
        [AnnouncedStream(name, "") for name in names],
        spared,
        "1.0",
        _nothing,
        Streams(*names),
        lambda text: text,
        RememberingLog(),
    )
    return broker


def test_a_stream_is_announced_where_its_sink_is() -> None:
    here, elsewhere = MqttSink(type="mqtt", broker="home"), MqttSink(type="mqtt", broker="cloud")
    streams = {
        "yard": stream(FileSink(type="file", path="/x"), here),
        "gate": stream(elsewhere),
        "door": stream(),
        "both": stream(elsewhere, MqttSink(type="mqtt", broker="home", last_topic="x/{stream}/newest")),
    }
    assert announced_streams(streams, "home", OURS) == [
        AnnouncedStream("yard", "overshootd/gate-pi/yard/last", SCHEMA),
        AnnouncedStream("both", "x/both/newest", SCHEMA),
    ]


def test_what_is_found_of_a_stream_by_its_availability_is_removed_with_that_last() -> None:
    broker = announcing("yard")
    topic = OURS.availability("gate")
    broker.handlers[OURS.availability("+")](topic, b"online", True)
    assert {payload for _, payload in broker.kept} == {b""}
    assert [at.rpartition("/")[2] for at, _ in broker.kept] == ["last", "prompt", "pause", "availability"]


def test_what_is_said_of_our_own_streams_and_by_the_removal_itself_removes_nothing() -> None:
    broker = announcing("yard")
    hear = broker.handlers[OURS.availability("+")]
    hear(OURS.availability("yard"), b"online", True)
    hear(OURS.availability("gate"), b"online", False)
    hear(OURS.availability("gate"), b"", True)
    assert broker.kept == []


def test_a_stream_that_is_only_broken_is_offline() -> None:
    broker = announcing("yard", spared=("gate",))
    broker.handlers[OURS.availability("+")](OURS.availability("gate"), b"online", True)
    assert broker.kept == [(OURS.availability("gate"), b"offline")]


def test_whoever_writes_to_our_topics_without_end_is_not_followed_for_ever() -> None:
    broker = announcing("yard")
    for number in range(2 * MOST_REMOVED):
        for _ in range(2):
            broker.handlers[OURS.availability("+")](OURS.availability(f"x{number}"), b"online", True)
    assert len(broker.kept) == 4 * MOST_REMOVED
