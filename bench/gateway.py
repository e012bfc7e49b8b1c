"""The far end, as one process: a real livekit-server, and the simulated Overshoot API, both behind TLS.

`python -m bench.gateway FOLDER`. FOLDER/rooms.json says how to make tokens of one's own; stdout says `ready …`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.lab import GATEWAY
from overshootd.simulator.livekit_child import LiveKitChild
from overshootd.simulator.options import LiveKitServer, Options
from overshootd.simulator.run import serve

API_PORT, ROOMS_PORT = 8443, 7443
API, ROOMS = f"https://{GATEWAY}:{API_PORT}/v0.2", f"wss://{GATEWAY}:{ROOMS_PORT}"
KEY = "ovs_bench"


def certify(folder: Path) -> None:
    """A certificate for the gateway, trusted by whoever has SSL_CERT_FILE=FOLDER/cert.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(GATEWAY))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(*private))


async def main(folder: Path) -> int:
    """Serve until SIGTERM."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    async with AsyncExitStack() as stack:
        child = LiveKitChild(GATEWAY)
        stack.push_async_callback(child.close)
        await child.start()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(cert, key)
        front = await asyncio.start_server(_forward_to(int(child.url.rsplit(":", 1)[1])), GATEWAY, ROOMS_PORT, ssl=tls)
        await stack.enter_async_context(front)
        (folder / "rooms.json").write_text(json.dumps([child.key, child.secret]))
        server = LiveKitServer(ROOMS, child.key, child.secret)
        options = Options(
            host=GATEWAY, port=API_PORT, keys=(KEY,), media="livekit-server", livekit=server, tls_cert=cert, tls_key=key
        )
        return await serve(options)


def _forward_to(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def forward(near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far, far_out = await asyncio.open_connection(GATEWAY, port)
        async with asyncio.TaskGroup() as both:
            both.create_task(_copy(near, far_out))
            both.create_task(_copy(far, near_out))

    return forward


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


if __name__ == "__main__":
    code = asyncio.run(main(Path(sys.argv[1])))
    sys.stdout.flush()
    os._exit(code)
