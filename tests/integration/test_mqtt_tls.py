"""Certificates on both sides, and MQTT inside WebSockets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from overshootd.contracts import Message
from tests.integration.authority import Authority
from tests.integration.mosquitto import mosquitto
from tests.integration.mqtt_bed import connected, made, running, until, url
from tests.remembering import RememberingLog

HOST = "127.0.0.1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(_folder(tmp_path, "authority"))


@pytest.fixture
def log() -> RememberingLog:
    return RememberingLog()


def _folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def _listener(authority: Authority, pair: tuple[Path, Path], *more: str) -> tuple[str, ...]:
    return (f"cafile {authority.file}", f"certfile {pair[0]}", f"keyfile {pair[1]}", *more)


@pytest.fixture
def pair(authority: Authority, tmp_path: Path) -> tuple[Path, Path]:
    """The broker's certificate and key."""
    return authority.sign(_folder(tmp_path, "pair"), HOST)


async def test_a_private_authority_is_trusted_by_its_file(
    authority: Authority, pair: tuple[Path, Path], tmp_path: Path, log: RememberingLog
) -> None:
    async with (
        mosquitto(tmp_path / "mosquitto", listener=_listener(authority, pair)) as server,
        connected(url(server, "mqtts"), log, tls={"ca_file": str(authority.file)}) as broker,
    ):
        await broker.publish([Message("a", bytes(100_000))] * 10)


async def test_a_private_authority_is_trusted_by_the_environment(
    authority: Authority,
    pair: tuple[Path, Path],
    tmp_path: Path,
    log: RememberingLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with (
        mosquitto(tmp_path / "mosquitto", listener=_listener(authority, pair)) as server,
        connected(url(server, "mqtts"), log) as broker,
    ):
        await broker.publish([Message("a", b"")])


async def test_an_authority_that_nobody_trusts_is_told_with_what_to_do(
    authority: Authority, pair: tuple[Path, Path], tmp_path: Path, log: RememberingLog
) -> None:
    other = Authority.make(_folder(tmp_path, "other"))
    async with (
        mosquitto(tmp_path / "mosquitto", listener=_listener(authority, pair)) as server,
        running(made(url(server, "mqtts"), log, tls={"ca_file": str(other.file)})) as broker,
    ):
        await until(lambda: "name its authority in brokers.home.tls.ca_file" in broker.state.why, "the reason")


async def test_a_certificate_for_another_name_is_told(
    authority: Authority, tmp_path: Path, log: RememberingLog
) -> None:
    pair = authority.sign(_folder(tmp_path, "pair"), "10.0.0.1")
    async with (
        mosquitto(tmp_path / "mosquitto", listener=_listener(authority, pair)) as server,
        running(made(url(server, "mqtts"), log, tls={"ca_file": str(authority.file)})) as broker,
    ):
        await until(lambda: "made out to another name" in broker.state.why, "the reason")
        assert HOST in broker.state.why and "see the host in brokers.home.url" in broker.state.why


async def test_before_the_clock_is_set_it_is_tried_again_soon(
    authority: Authority, tmp_path: Path, log: RememberingLog
) -> None:
    """A certificate of tomorrow's is what today's looks like to a machine whose clock is behind."""
    folder = _folder(tmp_path, "pair")
    pair = authority.sign(folder, HOST, valid_from=datetime.now(UTC) + timedelta(days=1))
    async with (
        mosquitto(tmp_path / "mosquitto", listener=_listener(authority, pair)) as server,
        running(made(url(server, "mqtts"), log, tls={"ca_file": str(authority.file)})) as broker,
    ):
        await until(lambda: "clock" in broker.state.why, "the reason")
        await server.stop()
        authority.sign(folder, HOST)
        await server.start()
        await until(lambda: broker.state.connected, "a connection")


async def test_a_broker_that_asks_for_a_certificate_gets_ours(
    authority: Authority, pair: tuple[Path, Path], tmp_path: Path, log: RememberingLog
) -> None:
    certificate, key = authority.sign(_folder(tmp_path, "ours"), "10.0.0.7")
    tls = {"ca_file": str(authority.file), "cert_file": str(certificate), "key_file": str(key)}
    listener = _listener(authority, pair, "require_certificate true")
    async with (
        mosquitto(tmp_path / "mosquitto", listener=listener) as server,
        connected(url(server, "mqtts"), log, tls=tls) as broker,
    ):
        await broker.publish([Message("a", b"")])


async def test_a_broker_that_asks_for_a_certificate_in_vain_is_told(
    authority: Authority, pair: tuple[Path, Path], tmp_path: Path, log: RememberingLog
) -> None:
    listener = _listener(authority, pair, "require_certificate true")
    async with (
        mosquitto(tmp_path / "mosquitto", listener=listener) as server,
        running(made(url(server, "mqtts"), log, tls={"ca_file": str(authority.file)})) as broker,
    ):
        await until(lambda: "wants a certificate of ours" in broker.state.why, "the reason")


async def test_a_file_that_is_not_there_is_told_and_may_come(
    authority: Authority, tmp_path: Path, log: RememberingLog
) -> None:
    async with running(made("mqtts://127.0.0.1:1", log, tls={"ca_file": str(tmp_path / "none.pem")})) as broker:
        await until(lambda: "none.pem cannot be used" in broker.state.why, "the reason")


async def test_no_tls_where_the_broker_expects_it_is_told(
    authority: Authority, pair: tuple[Path, Path], tmp_path: Path, log: RememberingLog
) -> None:
    async with (
        mosquitto(tmp_path / "mosquitto", listener=_listener(authority, pair)) as server,
        running(made(url(server), log)) as broker,
    ):
        await until(lambda: "whether it is mqtts:// there" in broker.state.why, "the reason")


async def test_tls_where_the_broker_expects_none_is_told(tmp_path: Path, log: RememberingLog) -> None:
    async with (
        mosquitto(tmp_path / "mosquitto") as server,
        running(made(url(server, "mqtts"), log)) as broker,
    ):
        await until(lambda: "in place of TLS: see brokers.home.url" in broker.state.why, "the reason")


async def test_it_works_within_a_websocket(tmp_path: Path, log: RememberingLog) -> None:
    async with (
        mosquitto(tmp_path / "mosquitto", listener=("protocol websockets",)) as server,
        connected(f"{url(server, 'ws')}/mqtt", log) as broker,
    ):
        await broker.publish([Message("a", bytes(2000))] * 100)


async def test_it_works_within_a_websocket_within_tls(
    authority: Authority, pair: tuple[Path, Path], tmp_path: Path, log: RememberingLog
) -> None:
    listener = _listener(authority, pair, "protocol websockets")
    async with (
        mosquitto(tmp_path / "mosquitto", listener=listener) as server,
        connected(f"{url(server, 'wss')}/mqtt", log, tls={"ca_file": str(authority.file)}) as broker,
    ):
        await broker.publish([Message("a", bytes(2000))] * 100)


async def test_what_is_no_websocket_is_told(tmp_path: Path, log: RememberingLog) -> None:
    async with (
        mosquitto(tmp_path / "mosquitto") as server,
        running(made(f"{url(server, 'ws')}/mqtt", log)) as broker,
    ):
        await until(lambda: "has no WebSocket at /mqtt: see brokers.home.url" in broker.state.why, "the reason")


async def test_a_path_without_a_websocket_is_told(log: RememberingLog) -> None:
    """mosquitto takes them all: so this is the web server that stands before many."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with running(made(f"ws://{HOST}:{port}/mq", log)) as broker:
            await until(lambda: "no WebSocket at /mq: see brokers.home.url" in broker.state.why, "the reason")


async def test_no_tls_within_a_websocket_is_told(tmp_path: Path, log: RememberingLog) -> None:
    async with (
        mosquitto(tmp_path / "mosquitto", listener=("protocol websockets",)) as server,
        running(made(url(server, "wss"), log)) as broker,
    ):
        await until(lambda: "does not speak TLS: see brokers.home.url" in broker.state.why, "the reason")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mqtt://nobody.invalid", "the name nobody.invalid is not found"),
        ("mqtt://127.0.0.1:1", "nobody listens at 127.0.0.1:1 (connection refused)"),
        (f"mqtt://{'x' * 64}.lan", "cannot be a host's name: see brokers.home.url"),
    ],
)
async def test_a_host_that_is_not_there_is_told(url: str, said: str, log: RememberingLog) -> None:
    async with running(made(url, log)) as broker:
        await until(lambda: said in broker.state.why, "the reason")
