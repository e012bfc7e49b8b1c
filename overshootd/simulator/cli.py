"""The command line of `overshootd simulate`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from overshootd.simulator.options import LiveKitServer, Options, TurnServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = Options()
    parser.add_argument("--host", default=default.host, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=default.port, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--key", action="append", metavar="KEY", help=f"API key to accept; may be repeated (default: {default.keys[0]})"
    )
    parser.add_argument(
        "--media",
        choices=("embedded", "livekit-server"),
        default=default.media,
        help="our own room server, or a real livekit-server (default: %(default)s)",
    )
    parser.add_argument("--livekit-url", metavar="URL", help="a livekit-server that runs already, not our own child")
    parser.add_argument("--livekit-key", metavar="K", help="its API key")
    parser.add_argument("--livekit-secret", metavar="S", help="its API secret")
    parser.add_argument(
        "--advertise", metavar="HOST", help="where media is sent to (default: every address but loopback)"
    )
    parser.add_argument(
        "--turn",
        action="append",
        type=_turn,
        default=[],
        metavar="URL,USER,CREDENTIAL",
        help="a relay that legacy streams are told of; may be repeated",
    )
    parser.add_argument("--faults", type=Path, metavar="FILE", help="a scenario of faults (YAML)")
    parser.add_argument("--control", type=_port, metavar="PORT", help="ledger and faults on 127.0.0.1 (0: a free one)")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain (PEM): serve https and wss")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key (PEM)")
    lease = "seconds, or null for a lease without end (default: %(default)g)"
    parser.add_argument("--lease-ttl", type=_lease, default=default.lease_ttl, metavar="S", help=lease)
    token = "seconds (default: %(default)g)"
    parser.add_argument("--token-ttl", type=_seconds, default=default.token_ttl, metavar="S", help=token)


def main(args: argparse.Namespace) -> int:
    try:
        options = _options(args)
    except ValueError as error:
        print(f"overshootd simulate: {error}", file=sys.stderr)
        return os.EX_USAGE
    try:
        from overshootd.simulator.run import serve
    except ModuleNotFoundError as error:
        print(f"overshootd simulate: {error.name} is missing: install overshootd[simulator]", file=sys.stderr)
        return os.EX_UNAVAILABLE
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("overshootd").setLevel(logging.INFO)
    logging.getLogger("livekit").setLevel(logging.WARNING)  # it sets itself to INFO and tells each ICE candidate
    code = asyncio.run(serve(options))
    sys.stdout.flush()
    sys.stderr.flush()
    # Roughly one clean exit in 50 aborted inside the LiveKit library (livekit-notes.md, Traps): none of it may run now.
    os._exit(code)


def _options(args: argparse.Namespace) -> Options:
    """Raises ValueError for options that do not go together."""
    if (args.tls_cert is None) != (args.tls_key is None):
        raise ValueError("--tls-cert and --tls-key go together")
    return Options(
        host=args.host,
        port=args.port,
        keys=tuple(args.key or Options().keys),
        media=args.media,
        livekit=_livekit(args),
        faults=args.faults,
        advertise=args.advertise,
        turn=tuple(args.turn),
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        lease_ttl=args.lease_ttl,
        token_ttl=args.token_ttl,
        control=args.control,
    )


def _livekit(args: argparse.Namespace) -> LiveKitServer | None:
    given = (args.livekit_url, args.livekit_key, args.livekit_secret)
    if given == (None, None, None):
        return None
    if None in given:
        raise ValueError("--livekit-url, --livekit-key and --livekit-secret go together")
    if args.media != "livekit-server":
        raise ValueError("--livekit-url needs --media livekit-server")
    return LiveKitServer(*given)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port; 0 to 65535 is")
    return port


def _turn(text: str) -> TurnServer:
    parts = text.split(",", 2)
    if len(parts) != 3 or not parts[0].startswith(("turn:", "turns:")):
        raise argparse.ArgumentTypeError(
            f"{parts[0]} is not followed by user and credential, or no turn: or turns: URL"
        )
    return TurnServer(*parts)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 86400 seconds")
    return seconds


def _lease(text: str) -> float | None:
    return None if text == "null" else _seconds(text)
