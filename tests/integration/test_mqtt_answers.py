"""What a broker may answer besides yes: another version, a limit, no."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from overshootd.backoff import Backoff
from overshootd.config.pieces import SecretRef
from overshootd.config.secret import Secret
from overshootd.contracts import Message
from overshootd.errors import Away, Refused, Unreachable
from overshootd.mqtt import client, reasons
from overshootd.mqtt.reasons import TooLarge
from tests.integration.announce_bed import listening
from tests.integration.mosquitto import mosquitto
from tests.integration.mqtt_bed import VERSIONS, bounded, connected, made, running, scripted, until, url
from tests.remembering import RememberingLog

MANY = "max_queued_messages 1000"
"""Without a limit mosquitto 2.0.11 takes each refusal for one too many, and closes."""

PASSWORD_SHORT = Backoff(base=0.5, cap=0.5, floor=0.1)


@pytest.fixture
def log() -> RememberingLog:
    return RememberingLog()


def _deny(folder: Path) -> tuple[str, ...]:
    (folder / "acl").write_text("topic readwrite #\ntopic deny no/#\n")
    return (f"acl_file {folder / 'acl'}", MANY)


def _set_password(file: Path, word: str) -> None:
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(file), "pi", word], check=True, capture_output=True, timeout=20)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_wrong_password_is_told_and_once_mended_it_works(
    tmp_path: Path, log: RememberingLog, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasons, "REFUSED", PASSWORD_SHORT)
    passwords = tmp_path / "passwords"
    _set_password(passwords, "right")
    extra = ("allow_anonymous false", f"password_file {passwords}")
    async with mosquitto(tmp_path / "mosquitto", extra=extra) as server:
        words = {"password": "wrong"}
        broker = made(url(server), log, version=version, username="pi")
        broker._reveal = lambda _: Secret(words["password"])
        broker._config = broker._config.model_copy(update={"password": SecretRef(env="PASSWORD")})
        async with running(broker):
            await until(lambda: broker.state.why != "", "a refusal")
            assert "not let in the user pi (" in broker.state.why and "see brokers.home.username" in broker.state.why
            words["password"] = "right"  # it is read again at each connection
            await until(lambda: broker.state.connected, "a connection")
    assert "right" not in "".join(log.lines) and "wrong" not in "".join(log.lines)


async def test_until_the_first_answer_whoever_publishes_waits_without_a_word(log: RememberingLog) -> None:
    async with (
        scripted(lambda _: b"") as server,
        running(made(f"mqtt://127.0.0.1:{server.port}", log, version="3.1.1")) as broker,
    ):
        publishing = asyncio.create_task(broker.publish([Message("a", b"")]))
        await until(lambda: bool(server.versions), "an attempt under way")
        assert (publishing.done(), log.lines) == (False, [])
        assert server.writer is not None
        server.writer.write(b"\x20\x02\x00\x00")
        await until(lambda: len(server.waiting) == 2, "what is published, and that we are there")
        server.acknowledge()
        await bounded(publishing)


async def test_a_first_answer_that_does_not_come_is_told_after_its_bound(
    log: RememberingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.2)
    async with (
        scripted(lambda _: b"") as server,
        running(made(f"mqtt://127.0.0.1:{server.port}", log)) as broker,
    ):
        with pytest.raises(Unreachable, match="no answer"):
            await bounded(broker.publish([Message("a", b"")]))
    assert len(log.lines) == 1


async def test_a_denied_topic_is_told_and_harms_no_other(tmp_path: Path, log: RememberingLog) -> None:
    async with (
        mosquitto(tmp_path / "mosquitto", extra=_deny(tmp_path)) as server,
        connected(url(server), log) as broker,
        listening(server) as listener,
    ):
        with pytest.raises(Refused, match="no/way"):
            await broker.publish([Message("no/way", b"")])
        await broker.publish([Message("yes", b"")])
        await listener.hears("yes", b"")
        assert broker.state.connections == 1


async def test_a_denied_topic_is_told_once_and_keeps_nothing_behind_it_from_being_retained(
    tmp_path: Path, log: RememberingLog
) -> None:
    async with (
        mosquitto(tmp_path / "mosquitto", extra=_deny(tmp_path)) as server,
        connected(url(server), log) as broker,
        listening(server) as listener,
    ):
        for number in range(5):
            broker.keep("no/way", b"%d" % number)
            broker.keep("yes", b"%d" % number)
            await listener.hears("yes", b"%d" % number)
        assert broker.state.connections == 1
    assert sum("retained" in line for line in log.lines) == 1


async def test_what_is_larger_than_the_broker_says_it_takes_is_rejected_and_the_rest_goes_on(
    tmp_path: Path, log: RememberingLog
) -> None:
    async with (
        mosquitto(tmp_path / "mosquitto", extra=("max_packet_size 3000",)) as server,
        connected(url(server), log) as broker,
    ):
        with pytest.raises(TooLarge):
            await broker.publish([Message("a", bytes(5000))])
        broker.keep("large", bytes(5000))
        broker.keep("small", b"1")
        await broker.publish([Message("a", b"")])
        async with listening(server) as listener:
            await listener.hears("small", b"1")
        assert broker.state.connections == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_ends_a_connection_when_it_is_sent_is_left_out_and_told(
    tmp_path: Path, log: RememberingLog, version: str
) -> None:
    """In MQTT 5, mosquitto 2.0.11 says so by a code that there is not, and the library takes that for broken."""
    async with (
        mosquitto(tmp_path / "mosquitto", extra=("message_size_limit 3000", "max_packet_size 4000", MANY)) as server,
        connected(url(server), log, version=version) as broker,
    ):
        broker.keep("large", bytes(3500 if version == "5" else 5000))
        for number in range(5):
            broker.keep(f"small/{number}", b"1")
        await until(lambda: any("when large is sent" in line for line in log.lines), "the culprit")
        await until(lambda: broker.state.connected, "a connection")
        connections = broker.state.connections
        async with listening(server) as listener:
            for number in range(5):
                await listener.hears(f"small/{number}", b"1")
            broker.keep("small/0", b"2")
            await listener.hears("small/0", b"2")
        assert broker.state.connections == connections


async def test_what_was_under_way_beside_a_message_too_large_is_not_passed_over(log: RememberingLog) -> None:
    """The broker does not say which of them it was."""
    async with (
        scripted(lambda _: b"\x20\x03\x00\x00\x00") as server,
        connected(f"mqtt://127.0.0.1:{server.port}", log, version="5") as broker,
    ):
        both = [asyncio.create_task(broker.publish([Message("a", each)])) for each in (b"small", bytes(9))]
        await until(lambda: len(server.waiting) == 3, "both, and that we are there")
        assert server.writer is not None
        server.writer.write(b"\xe0\x02\x95\x00")
        errors = await bounded(asyncio.gather(*both, return_exceptions=True))
    assert [type(error) for error in errors] == [Away, Away]


async def test_what_was_under_way_when_a_broker_ends_a_connection_is_not_told_as_refused(
    log: RememberingLog,
) -> None:
    async with (
        scripted(lambda _: b"\x20\x03\x00\x00\x00") as server,
        running(made(f"mqtt://127.0.0.1:{server.port}", log, version="5")) as broker,
    ):
        server.farewell = b"\xe0\x02\x98\x00"  # to what is retained: that we are there
        await until(lambda: "Administrative" in broker.state.why, "the end")
    assert [line for line in log.lines if "ended" in line] == [
        "broker home: it ended the connection (Administrative action)"
    ]


@pytest.mark.parametrize("version", VERSIONS)
async def test_two_devices_of_one_name_both_work_in_the_end_and_are_told(tmp_path: Path, version: str) -> None:
    logs = RememberingLog(), RememberingLog()
    async with (
        mosquitto(tmp_path / "mosquitto") as server,
        running(made(url(server), logs[0], version=version)) as one,
        running(made(url(server), logs[1], version=version)) as other,
    ):

        def told() -> bool:
            return any("going on as overshootd-gate-pi-" in line for log in logs for line in log.lines)

        await until(told, "another id", 60)
        await until(lambda: one.state.connected and other.state.connected, "both")
        await asyncio.gather(one.publish([Message("a", b"")]), other.publish([Message("a", b"")]))
    assert any("give each device a name" in line for log in logs for line in log.lines)


async def test_a_broker_that_says_so_needs_two_times(log: RememberingLog) -> None:
    """mosquitto 2.0.11 does not say it in MQTT 5 either."""
    async with (
        scripted(lambda _: b"\x20\x03\x00\x00\x00") as server,
        running(made(f"mqtt://127.0.0.1:{server.port}", log, version="5")) as broker,
    ):
        server.farewell = b"\xe0\x02\x8e\x00"
        await until(lambda: broker._identity.now != "overshootd-gate-pi", "another id")
        assert broker.state.connections <= 3
    assert any("another client uses the id overshootd-gate-pi there; going on as" in line for line in log.lines)


def _old(version: int) -> bytes | None:
    return b"\x20\x02\x00\x00" if version == 4 else b"\x20\x02\x00\x01"


def _very_old(version: int) -> bytes | None:
    return b"\x20\x02\x00\x00" if version == 4 else None


@pytest.mark.parametrize("connack", [_old, _very_old])
async def test_a_broker_that_knows_only_3_1_1_is_spoken_to_in_that(
    log: RememberingLog, connack: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(connack)
    async with scripted(connack) as server, connected(f"mqtt://127.0.0.1:{server.port}", log):
        assert server.versions == [5, 4]
    assert (len(log.lines) == 1) == (connack is _old)  # who just closes may mean something else


async def test_no_more_is_under_way_than_the_broker_takes(log: RememberingLog) -> None:
    """MQTT 5, section 4.9: whoever sends more is thrown out. mosquitto counts, but never so strictly."""
    async with (
        scripted(lambda _: bytes([0x20, 6, 0, 0, 3, 0x21, 0, 10])) as server,
        connected(f"mqtt://127.0.0.1:{server.port}", log) as broker,
    ):
        for number in range(30):
            broker.keep(f"kept/{number}", b"")
        lanes = [asyncio.create_task(broker.publish([Message("a", b"")] * 30, backlog=each)) for each in (False, True)]
        while not all(lane.done() for lane in lanes):
            await asyncio.sleep(0.01)
            server.acknowledge()
        await asyncio.gather(*lanes)
        assert server.most == 10


async def test_what_is_live_finds_room_beside_a_backlog(log: RememberingLog) -> None:
    async with (
        scripted(lambda _: bytes([0x20, 6, 0, 0, 3, 0x21, 0, 10])) as server,
        connected(f"mqtt://127.0.0.1:{server.port}", log) as broker,
    ):
        backlog = asyncio.create_task(broker.publish([Message("a", b"")] * 1000, backlog=True))
        for _ in range(50):
            await asyncio.sleep(0.01)
            server.acknowledge()
        await until(lambda: len(server.waiting) >= 5, "a backlog under way")
        before = len(server.waiting)
        live = asyncio.create_task(broker.publish([Message("b", b"")]))
        await until(lambda: len(server.waiting) > before, "the live one under way")
        assert not live.done()
        server.acknowledge()
        await bounded(live)
        backlog.cancel()
        await asyncio.wait([backlog])


async def test_a_connection_needs_no_thread_of_the_default_executor(tmp_path: Path, log: RememberingLog) -> None:
    """All of them may hang in a dead resolver."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    released = threading.Event()
    hanging = loop.run_in_executor(None, released.wait)
    try:
        async with mosquitto(tmp_path / "mosquitto") as server, connected(url(server), log) as broker:
            await bounded(broker.publish([Message("a", b"")]))
    finally:
        released.set()
        await hanging
