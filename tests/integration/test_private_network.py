"""Private networks: an authority that only this house trusts, and an HTTP proxy where nothing else leads out."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from overshootd.simulator.livekit_child import LiveKitChild
from tests.integration.authority import Authority
from tests.integration.daemon_bed import BOUND, Simulator, config, daemon, eventually, simulator
from tests.integration.tunnels import MARK, proxy, tls_in_front

TRUST = "is from nobody whom this machine trusts"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path)


@pytest.fixture
def certificate(authority: Authority, media_net: str, tmp_path: Path) -> tuple[Path, Path]:
    return authority.sign(tmp_path, "127.0.0.1", media_net)


@asynccontextmanager
async def with_room_server(
    folder: Path, server: LiveKitChild, address: str, port: int, *arguments: str
) -> AsyncIterator[Simulator]:
    """A simulator whose rooms are on this server, under wss://ADDRESS:PORT."""
    where = ("--media", "livekit-server", "--livekit-url", f"wss://{address}:{port}")
    keys = ("--livekit-key", server.key, "--livekit-secret", server.secret)
    async with simulator(folder, "--advertise", address, *where, *keys, *arguments) as gateway:
        yield gateway


@contextmanager
def only_through_the_proxy(port: int) -> Iterator[None]:
    """Whoever connects to this TCP port is refused, but for the proxy."""
    rules = (
        "table inet proxied { chain output { type filter hook output priority 0; "
        f"tcp dport {port} meta mark != {MARK} reject with tcp reset; }}; }}"
    )
    subprocess.run(["nft", rules], check=True, timeout=10)
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        yield
    finally:
        subprocess.run(["nft", "delete table inet proxied"], check=True, timeout=10)


def port_of(gateway: Simulator) -> int:
    port = urlsplit(gateway.base_url).port
    assert port
    return port


def tls(certificate: tuple[Path, Path]) -> tuple[str, ...]:
    return "--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1])


async def test_a_private_authority_is_trusted_for_the_api_its_results_and_the_room_server(
    authority: Authority,
    certificate: tuple[Path, Path],
    media_net: str,
    child: LiveKitChild,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))  # the simulator joins the rooms too
    async with (
        tls_in_front(media_net, urlsplit(child.url).port or 0, certificate) as front,
        with_room_server(tmp_path, child, media_net, front, *tls(certificate)) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        assert gateway.base_url.startswith("https:")
        assert await running.more_results(2)


async def test_an_api_that_nobody_vouches_for_is_told_with_what_to_do(
    certificate: tuple[Path, Path], media_net: str, tmp_path: Path
) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net, *tls(certificate)) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={})) as running,
    ):
        told = f"the certificate of 127.0.0.1:{port_of(gateway)} {TRUST}"
        await eventually(lambda: told in running.heard(), "the reason in the status")
        assert "SSL_CERT_FILE" in running.said()


async def test_a_room_server_that_nobody_vouches_for_is_told_with_what_to_do(
    authority: Authority,
    certificate: tuple[Path, Path],
    media_net: str,
    child: LiveKitChild,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with (
        tls_in_front(media_net, urlsplit(child.url).port or 0, certificate) as front,
        with_room_server(tmp_path, child, media_net, front) as gateway,
        daemon(tmp_path, config(tmp_path, gateway.base_url, one={}), SSL_CERT_FILE="/etc/hostname") as running,
    ):
        told = f"joining the room failed: the certificate of {media_net}:{front} {TRUST}"
        await eventually(lambda: told in running.said(), "the reason in the log")
        assert running.said().count(told) == 1, "said once"


async def test_a_proxy_carries_the_api_its_results_and_signalling_where_nothing_else_leads_out(
    authority: Authority, certificate: tuple[Path, Path], media_net: str, tmp_path: Path
) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net, *tls(certificate)) as gateway,
        proxy("pi:s3cret-word") as carrier,
    ):
        with only_through_the_proxy(port_of(gateway)):
            environ = {"SSL_CERT_FILE": str(authority.file), "HTTPS_PROXY": carrier.url("pi:s3cret-word")}
            async with daemon(tmp_path, config(tmp_path, gateway.base_url, one={}), **environ) as running:
                assert await running.more_results(2)
                assert len(carrier.carried) == 3  # requests share one tunnel
                assert f"go through the proxy 127.0.0.1:{carrier.port}" in running.said()
                assert "s3cret-word" not in running.said() + running.heard()
                assert await running.end() == 0


async def test_no_proxy_is_obeyed_for_the_api_and_its_results_and_not_by_the_livekit_library(
    authority: Authority, certificate: tuple[Path, Path], media_net: str, tmp_path: Path
) -> None:
    """As docs/networks.md has it: once this fails, the page can lose a paragraph."""
    async with (
        simulator(tmp_path, "--advertise", media_net, *tls(certificate)) as gateway,
        proxy() as carrier,
    ):
        environ = {"SSL_CERT_FILE": str(authority.file), "HTTPS_PROXY": carrier.url(), "NO_PROXY": "127.0.0.1"}
        async with daemon(tmp_path, config(tmp_path, gateway.base_url, one={}), **environ) as running:
            assert await running.more_results(2)
            assert len(carrier.carried) == 1


async def test_a_proxy_that_wants_other_credentials_is_told_with_what_to_do(
    authority: Authority, certificate: tuple[Path, Path], media_net: str, tmp_path: Path
) -> None:
    async with (
        simulator(tmp_path, "--advertise", media_net, *tls(certificate)) as gateway,
        proxy("pi:s3cret-word") as carrier,
    ):
        environ = {"SSL_CERT_FILE": str(authority.file), "HTTPS_PROXY": carrier.url("pi:wr0ng-word")}
        async with daemon(tmp_path, config(tmp_path, gateway.base_url, one={}), **environ) as running:
            await eventually(lambda: "wants a user and a password" in running.heard(), "the reason in the status")
            assert not carrier.carried
            assert "wr0ng-word" not in running.said() + running.heard()


async def test_a_proxy_that_not_all_libraries_understand_ends_with_78_and_one_sentence(tmp_path: Path) -> None:
    async with daemon(
        tmp_path, config(tmp_path, "https://192.0.2.1/v0.2", one={}), HTTPS_PROXY="pi:s3cret-word@proxy.lan:3128"
    ) as running:
        async with asyncio.timeout(BOUND):
            assert await running.process.wait() == 78
        assert "HTTPS_PROXY in the environment: a proxy must be http://HOST:PORT" in running.said()
        assert "s3cret-word" not in running.said()
