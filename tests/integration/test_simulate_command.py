"""`overshootd simulate` as a process: what it prints, how it ends, TLS, and the scenario file."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import websockets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.gateway_lab import FRAME, MODEL

BOUND = 30.0
HEADERS = {"Authorization": "Bearer ovs_test"}
CREATE = {"processing": FRAME, "inference": {"prompt": "what?", "model": MODEL}}


class Simulator:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ready(self) -> str:
        """The base URL of the ready line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(BOUND):
            line = (await self.process.stdout.readline()).decode()
        assert line.startswith("ready http"), (line, await self.stderr() if not line else "")
        return line.split()[1]

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await self.exit_code()

    async def exit_code(self) -> int:
        async with asyncio.timeout(BOUND):
            return await self.process.wait()

    async def stderr(self) -> str:
        """All of it; only after the end."""
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@contextlib.asynccontextmanager
async def simulate(*arguments: str | Path) -> AsyncIterator[Simulator]:
    """On a free port; without media, so loopback will do. Killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "overshootd", "simulate", "--port", "0", "--advertise", "127.0.0.1"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Simulator(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_serves_prints_one_line_and_ends_at_sigterm_with_a_stream_open() -> None:
    async with simulate() as simulator:
        base = await simulator.ready()
        assert base.endswith("/v0.2")
        async with httpx.AsyncClient(headers=HEADERS) as http:
            created = await http.post(f"{base}/streams", json=CREATE)
            assert created.status_code == 201
            url = f"{base.replace('http', 'ws')}/ws/streams/{created.json()['stream_id']}"
            async with websockets.connect(url) as results:
                await results.send('{"api_key": "ovs_test"}')
                assert await simulator.stop() == 0
        assert simulator.process.stdout is not None
        assert await simulator.process.stdout.read() == b""


async def test_all_addresses_are_those_of_ipv4_too() -> None:
    async with simulate("--host", "::") as simulator, httpx.AsyncClient() as http:
        base = await simulator.ready()
        assert base.startswith("http://127.0.0.1:")  # the advertised address
        for url in (base, base.replace("127.0.0.1", "[::1]")):
            assert (await http.get(f"{url}/healthz")).status_code == 200


async def test_a_violation_makes_it_exit_65() -> None:
    async with simulate() as simulator:
        base = await simulator.ready()
        async with httpx.AsyncClient(headers=HEADERS) as http:
            livekit = (await http.post(f"{base}/streams", json=CREATE)).json()["livekit"]
        join = f"{livekit['url']}/rtc?access_token={livekit['token']}&auto_subscribe=1"
        async with websockets.connect(join) as signalling, asyncio.timeout(BOUND):
            await signalling.recv()
        assert await simulator.stop() == 65
        assert "auto-subscribe" in await simulator.stderr()


async def test_a_port_that_is_taken_is_said_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with simulate("--port", str(port)) as simulator:
            assert await simulator.exit_code() == 69
            assert await simulator.stderr() == (
                f"overshootd simulate: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
            )


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--tls-cert", "x.pem"], 64, "--tls-cert and --tls-key go together"),
        (["--livekit-url", "ws://x"], 64, "go together"),
        (["--lease-ttl", "0"], 64, "--lease-ttl"),
        (["--turn", "turn:10.0.0.1:3478"], 64, "user and credential"),
        (["--turn", "10.0.0.1,user,credential"], 64, "turns: URL"),
        (["--faults", "nowhere.yaml"], 78, "nowhere.yaml"),
        (["--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"], 78, "nowhere.pem"),
    ],
)
async def test_wrong_arguments_are_said(arguments: list[str], code: int, told: str) -> None:
    async with simulate(*arguments) as simulator:
        assert await simulator.exit_code() == code
        error = await simulator.stderr()
        assert told in error
        assert "Traceback" not in error


async def test_a_scenario_is_played_and_the_control_endpoint_tells(tmp_path: Path) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text("- {fault: status, status: 418, operation: listModels}\n- {fault: credits, cents: 5}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with simulate("--faults", faults, "--control", str(port)) as simulator:
        base = await simulator.ready()
        async with httpx.AsyncClient(headers=HEADERS) as http, asyncio.timeout(BOUND):
            while (await http.get(f"{base}/models")).status_code != 418:  # noqa: ASYNC110 (it is another process)
                await asyncio.sleep(0.05)
            ledger = (await http.get(f"http://127.0.0.1:{port}/ledger")).json()
        assert ledger["accounts"] == [{"credits_remaining_cents": 5}]


async def test_tls_serves_https_and_names_wss(tmp_path: Path) -> None:
    cert, key = _certificate(tmp_path)
    async with simulate("--tls-cert", cert, "--tls-key", key) as simulator:
        base = await simulator.ready()
        assert base.startswith("https://")
        trust = ssl.create_default_context(cafile=str(cert))
        async with httpx.AsyncClient(headers=HEADERS, verify=trust) as http:
            created = (await http.post(f"{base}/streams", json=CREATE)).json()
        assert created["livekit"]["url"].startswith("wss://")
        url = f"{base.replace('https', 'wss')}/ws/streams/{created['stream_id']}"
        async with websockets.connect(url, ssl=trust) as results:
            await results.send('{"api_key": "wrong"}')
            await asyncio.wait_for(results.wait_closed(), BOUND)
            assert results.close_code == 1008


def _certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    cert, key = directory / "cert.pem", directory / "key.pem"
    cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert, key
