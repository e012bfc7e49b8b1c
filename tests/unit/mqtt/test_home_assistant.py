"""When Home Assistant is told what, over restarts of all that take part."""

from __future__ import annotations

import json
from typing import Any

from overshootd.config.brokers import HomeAssistant as Config
from overshootd.mqtt.discovery import AnnouncedStream, Board, announced
from overshootd.mqtt.home_assistant import GONE_SECONDS, HERD_SECONDS, HomeAssistant
from overshootd.mqtt.topics import Topics
from tests.remembering import RememberingLog
from tests.unit.mqtt.fakes import Broker
from tests.unit.mqtt.home_assistant_rules import check

OURS = Topics("overshootd", "gate-pi")
TOPIC = "homeassistant/device/overshootd_gate-pi/config"
YARD = AnnouncedStream("yard", OURS.of("yard", "last"))
GATE = AnnouncedStream("gate", OURS.of("gate", "last"))


class Run:
    """One run of the daemon with these streams, at a broker of its own, with a clock that is set by hand."""

    def __init__(self, *streams: AnnouncedStream, config: Config | None = None, off: bool = False, spared: str = ""):
        self.broker = Broker()
        self.now = 1000.0
        self.woken = 0
        self.log = RememberingLog()
        self.told = HomeAssistant(
            self.broker,
            OURS,
            None if off else config or Config(),
            streams,
            (spared,),
            (),
            "1.0",
            self._wake,
            lambda _least, most: most,
            self.log,
            lambda: self.now,
        )

    def _wake(self) -> None:
        self.woken += 1

    def keep(self) -> dict[str, Any]:
        """The components that are kept now."""
        self.told.keep(Board())
        kept = self.broker.newest(TOPIC)
        assert kept is not None
        return dict(check(TOPIC, kept))

    def hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        self.broker.handlers[topic](topic, payload, retained)


def left_by(*streams: AnnouncedStream) -> bytes:
    """What a run with these streams leaves at the broker."""
    run = Run(*streams)
    run.keep()
    left = run.broker.newest(TOPIC)
    assert left is not None
    return left


def of(stream: str, entities: dict[str, Any]) -> dict[str, Any]:
    return {key: entity for key, entity in entities.items() if f":{stream}:" in key}


def test_what_is_kept_already_is_not_sent_again() -> None:
    run = Run(YARD)
    run.keep()
    run.keep()
    assert len(run.broker.kept) == 1


def test_it_is_sent_again_when_home_assistant_starts_but_not_with_all_others_at_once() -> None:
    run = Run(YARD)
    run.keep()
    run.hear("homeassistant/status", b"online", retained=False)
    assert run.woken == 1
    assert run.told.next_at == run.now + HERD_SECONDS
    run.keep()
    assert len(run.broker.kept) == 1
    run.now += HERD_SECONDS
    run.keep()
    run.keep()
    assert len(run.broker.kept) == 2


def test_an_end_of_home_assistant_or_an_old_start_is_no_start() -> None:
    run = Run(YARD)
    run.hear("homeassistant/status", b"offline", retained=False)
    run.hear("homeassistant/status", b"online", retained=True)
    assert run.told.next_at is None


def test_a_stream_that_is_gone_is_removed_and_then_left_out() -> None:
    run = Run(YARD)
    run.keep()
    run.hear(TOPIC, left_by(YARD, GATE), retained=True)
    assert run.woken == 1
    removed = of("gate", run.keep())
    assert removed and all(entity == {"p": key.split(":")[0]} for key, entity in removed.items())
    run.now += GONE_SECONDS
    assert run.told.next_at is not None and run.told.next_at <= run.now
    assert not of("gate", run.keep())
    assert of("yard", run.keep())
    assert run.told.next_at is None


def test_what_we_say_ourselves_removes_nothing() -> None:
    run = Run(YARD)
    run.hear(TOPIC, left_by(YARD, GATE), retained=False)
    assert not of("gate", run.keep())


def test_what_was_removed_by_an_earlier_run_is_left_out() -> None:
    earlier = Run(YARD)
    earlier.hear(TOPIC, left_by(YARD, GATE), retained=True)
    earlier.keep()
    run = Run(YARD)
    run.hear(TOPIC, dict(earlier.broker.kept)[TOPIC], retained=True)
    assert not of("gate", run.keep())


def test_a_stream_whose_configuration_is_broken_just_now_stays_as_it_was() -> None:
    before = left_by(YARD, GATE)
    run = Run(YARD, spared="gate")
    run.hear(TOPIC, before, retained=True)
    assert of("gate", run.keep()) == of("gate", announced(before))
    run.now += GONE_SECONDS
    assert of("gate", run.keep()) == of("gate", announced(before))


def test_where_home_assistant_is_off_nothing_is_said_and_what_was_said_is_taken_back() -> None:
    run = Run(YARD, off=True)
    run.told.keep(Board())
    assert run.broker.kept == []
    run.hear(TOPIC, left_by(YARD), retained=True)
    assert run.broker.kept == [(TOPIC, b"")]
    assert len(run.log.lines) == 1


def test_what_somebody_else_said_there_is_left_alone() -> None:
    run = Run(YARD, off=True)
    run.hear(TOPIC, json.dumps({"o": {"name": "other"}, "cmps": {"x": {"p": "sensor"}}}).encode(), retained=True)
    run.hear(TOPIC, b"", retained=True)
    assert run.broker.kept == []


def test_another_prefix_takes_the_place_of_the_default_one() -> None:
    run = Run(YARD, config=Config(prefix="ha"))
    run.hear(TOPIC, left_by(YARD), retained=True)
    run.told.keep(Board())
    assert run.broker.newest(TOPIC) == b""
    assert run.broker.newest("ha/device/overshootd_gate-pi/config")
    assert "ha/status" in run.broker.handlers
