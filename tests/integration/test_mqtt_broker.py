"""One broker for as long as the daemon runs, whatever becomes of the program at the other end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from overshootd.backoff import Backoff
from overshootd.config.sinks import MqttSink as MqttSinkConfig
from overshootd.contracts import Message
from overshootd.errors import Unreachable
from overshootd.mqtt import reasons
from overshootd.sinks.mqtt import MqttSink
from tests.integration.announce_bed import listening
from tests.integration.delivery_lab import append, begin, opened
from tests.integration.mosquitto import Mosquitto, mosquitto
from tests.integration.mqtt_bed import ROOT, VERSIONS, bounded, connected, made, running, until, url
from tests.remembering import RememberingLog
from tests.unit.attempt_parts import Paths

STATE = f"{ROOT}/state"
LOOSE = """
import asyncio, sys
from tests.integration.mqtt_bed import connected
from tests.remembering import RememberingLog

async def main():
    async with connected(sys.argv[1], RememberingLog()):
        print("connected", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """What it knew is gone after a restart."""
    async with mosquitto(tmp_path / "mosquitto", persistence=False) as server:
        yield server


@pytest.fixture
def log() -> RememberingLog:
    return RememberingLog()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("backlog", [False, True])
async def test_what_is_published_has_arrived(
    server: Mosquitto, log: RememberingLog, version: str, backlog: bool
) -> None:
    async with listening(server) as listener, connected(url(server), log, version=version) as broker:
        await broker.publish([Message("a", b"%d" % number) for number in range(300)], backlog=backlog)
        await listener.hears("a", b"299")
        assert listener.counts["a"] == 300
    assert f"(p{'5' if version == '5' else '2'}, c1" in server.said()


async def test_a_scheme_in_capitals_is_the_same(server: Mosquitto, log: RememberingLog) -> None:
    async with connected(url(server, "MQTT"), log) as broker:
        await broker.publish([Message("a", b"")])


async def test_without_a_connection_nobody_waits(log: RememberingLog) -> None:
    async with running(made("mqtt://127.0.0.1:1", log)) as broker:
        await until(lambda: broker.state.why != "", "the refusal")
        with pytest.raises(Unreachable, match="no connection to broker home"):
            await broker.publish([Message("a", b"")])


async def test_it_says_online_and_at_the_end_offline(server: Mosquitto, log: RememberingLog) -> None:
    async with listening(server) as listener:
        async with connected(url(server), log) as broker:
            await listener.hears(STATE, b"online")
            await broker.close(5.0)
            await listener.hears(STATE, b"offline")
        await until(lambda: "Received DISCONNECT from overshootd-gate-pi" in server.said(), "an end in order")
        await listener.say("after", b"")
        await listener.hears("after", b"")
        assert listener.counts[STATE] == 2  # and no will


async def test_the_will_speaks_for_a_process_that_was_killed(server: Mosquitto) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOOSE, url(server), stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."}
    )
    try:
        assert process.stdout is not None
        assert await bounded(process.stdout.readline()) == b"connected\n"
        async with listening(server) as listener:
            await listener.hears(STATE, b"online")
            process.kill()
            await listener.hears(STATE, b"offline")
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGKILL])
async def test_after_a_restart_all_that_is_retained_comes_again(
    server: Mosquitto, log: RememberingLog, signo: signal.Signals
) -> None:
    async with connected(url(server), log) as broker:
        broker.keep("kept", b"one")
        await server.stop(signo)
        await until(lambda: not broker.state.connected, "the loss")
        broker.keep("kept", b"two")
        await server.start()
        await until(lambda: broker.state.connections == 2, "the way back")
        async with listening(server) as listener:
            await listener.hears("kept", b"two")
            await listener.hears(STATE, b"online")
        assert broker.state.connections == 2


async def test_a_path_that_has_changed_is_tried_at_once(
    server: Mosquitto, log: RememberingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasons, "UNREACHABLE", Backoff(floor=3600.0))
    await server.stop()
    paths = Paths()
    async with running(made(url(server), log, paths=paths)) as broker:
        await until(lambda: "refused" in broker.state.why, "a try in vain")
        await server.start()
        paths.change()
        await until(lambda: broker.state.connected, "a connection")


async def test_an_outage_is_two_lines(server: Mosquitto, log: RememberingLog) -> None:
    """Two more at most: a connection that is reset, and then refused, fails for another reason."""
    async with connected(url(server), log) as broker:
        begun = len(log.lines)
        await server.kill()
        await until(lambda: "refused" in broker.state.why, "a try in vain")
        await server.start()
        await until(lambda: broker.state.connected, "the way back")
    told = log.lines[begun:]
    assert 2 <= len(told) <= 3
    assert told[-1] == "broker home works again"


async def test_deliveries_show_an_outage_and_leave_it_to_the_broker_to_tell(
    server: Mosquitto, log: RememberingLog, tmp_path: Path
) -> None:
    async with opened(tmp_path) as spool, connected(url(server), log) as broker:
        told = RememberingLog()
        running = begin(
            spool, MqttSink(MqttSinkConfig(type="mqtt", broker="home", topic="a", last_topic=""), broker), told
        )
        await append(spool, 1)
        await until(lambda: running.delivery.now.waiting == 0, "the first one")
        await server.kill()
        await until(lambda: not broker.state.connected, "the loss")
        await append(spool, 1)
        await until(lambda: "no connection to broker home: " in running.delivery.now.why, "the reason")
        await server.start()
        await until(lambda: running.delivery.now.waiting == 0, "the second one")
        await running.stop()
    assert told.lines == []


async def test_what_was_under_way_at_a_loss_is_not_sent_behind_our_back(server: Mosquitto, log: RememberingLog) -> None:
    async with connected(url(server), log) as broker:
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        publishing = asyncio.create_task(broker.publish([Message("once", b"")]))
        await until(lambda: bool(broker._live._under_way), "a publication under way")
        await server.kill()
        with pytest.raises(Unreachable):
            await bounded(publishing)
        await server.start()
        async with listening(server) as listener:
            await until(lambda: broker.state.connected, "the way back")
            await broker.publish([Message("marker", b"")])
            await listener.hears("marker", b"")
            assert listener.counts["once"] == 0


async def test_a_broker_that_hangs_is_left(server: Mosquitto, log: RememberingLog) -> None:
    """With a keepalive of 5 s."""
    async with connected(url(server), log) as broker:
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unreachable):
                await bounded(broker.publish([Message("a", b"")]))
        finally:
            server.process.send_signal(signal.SIGCONT)
        await until(lambda: broker.state.connections == 2, "the way back")
        await broker.publish([Message("a", b"")])


async def test_it_ends_when_told_in_the_moment_in_which_a_connection_is_lost(
    server: Mosquitto, log: RememberingLog
) -> None:
    async with connected(url(server), log) as broker:
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        publishing = asyncio.create_task(broker.publish([Message("a", b"")]))
        await until(lambda: bool(broker._live._under_way), "a publication under way")
        await server.kill()
        with pytest.raises(Unreachable):
            await publishing  # told in the same turn of the event loop; now the broker is cancelled


async def test_whoever_gives_up_leaves_room_for_others(server: Mosquitto, log: RememberingLog) -> None:
    async with connected(url(server), log, in_flight=1) as broker:
        for _ in range(20):
            given_up = asyncio.create_task(broker.publish([Message("a", b"")] * 50))
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.wait([given_up])
        await bounded(broker.publish([Message("b", b"")] * 50))


async def test_of_what_is_retained_only_the_newest_counts(server: Mosquitto, log: RememberingLog) -> None:
    async with connected(url(server), log) as broker:
        for number in range(1000):
            broker.keep("kept", b"%d" % number)
        async with listening(server) as listener:
            await listener.hears("kept", b"999")
        assert server.said().count("'kept'") < 10


async def test_what_is_removed_is_gone_and_forgotten(server: Mosquitto, log: RememberingLog) -> None:
    async with connected(url(server), log) as broker:
        broker.keep("kept", b"one")
        broker.keep("kept", b"")
        await bounded(broker._kept.brought())
        async with listening(server) as listener:
            await listener.hears(STATE, b"online")
            assert "kept" not in listener.newest
        assert "kept" not in broker._kept._values


async def test_what_is_heard_is_heard_again_after_a_restart(server: Mosquitto, log: RememberingLog) -> None:
    heard: list[tuple[str, bytes, bool]] = []
    broker = made(url(server), log)
    broker.subscribe("say/+", lambda *message: heard.append(message))
    async with running(broker):
        await until(lambda: broker.state.connected, "a connection")
        async with listening(server) as listener:
            await listener.say("say/this", b"before")
            await until(lambda: heard == [("say/this", b"before", False)], "what is said")
        await server.kill()
        await until(lambda: not broker.state.connected, "the loss")
        await server.start()
        await until(lambda: broker.state.connections == 2, "the way back")
        await broker.publish([Message("say/that", b"")])
        await until(lambda: heard[-1] == ("say/that", b"", False), "what is said later")


async def test_what_was_retained_before_is_told_from_what_is_said_now(server: Mosquitto, log: RememberingLog) -> None:
    heard: list[tuple[str, bytes, bool]] = []
    broker = made(url(server), log)
    broker.subscribe("say/+", lambda *message: heard.append(message))
    async with listening(server) as listener:
        await listener.say("say/this", b"before", retain=True)
        async with running(broker):
            await until(lambda: heard == [("say/this", b"before", True)], "what is retained")
            await listener.say("say/this", b"now", retain=True)
            await until(lambda: heard[-1] == ("say/this", b"now", False), "what is said now")
