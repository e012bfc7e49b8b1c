"""One stream's transport on its way from the tree to a value: names filled in, secrets read, its rules kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from overshootd.access import NoToken, doubts, read
from overshootd.config.credentials import ReadSecret, read_key, read_password
from overshootd.config.explain import validate
from overshootd.config.head import key_at
from overshootd.config.problem import Problem
from overshootd.config.rules import parted, placeholder_problems
from overshootd.config.secret import Secret
from overshootd.config.transports import (
    AutoTransport,
    IceServerConfig,
    LiveKitTransport,
    RoomLogin,
    TransportConfig,
    WebrtcTransport,
    ice_urls,
)
from overshootd.config.tree import Node

TOKENS, PAIR = ("token", "publish_token"), ("api_key", "api_secret")
NAMES = {"room": "{device}-{stream}", "identity": "{device}"}
EXAMPLE = "wss://my-project.livekit.cloud"
WAYS = "token and publish_token, or api_key and api_secret, with which both tokens are made"
WHAT_FOR = {
    "token": "the API's gateway joins with it, to watch",
    "publish_token": "this device joins with it, for token is the gateway's",
    "api_key": "it says whose secret api_secret is",
    "api_secret": "tokens are signed with it",
}


@dataclass(slots=True)
class TransportDraft:
    """`node` has its names filled in; `secrets` is all that must be masked.

    `problems` is what no single value shows, `warnings` what is odd and may work all the same.
    """

    node: Node
    login: RoomLogin = field(default_factory=RoomLogin)
    ice: list[Secret | None] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def read_for(self, transport: TransportConfig) -> dict[str, object]:
        """What a StreamConfig holds besides its transport, which is what `node` is."""
        servers = transport.ice_servers if isinstance(transport, AutoTransport | WebrtcTransport) else None
        return {"room_login": self.login, "ice": None if servers is None else ice_urls(servers, self.ice)}

    def read(self, at: Node, environ: Mapping[str, str], how: ReadSecret) -> Secret | None:
        secret, problems = key_at(at, environ, how)
        self.problems += problems
        if secret is not None:
            self.secrets.append(secret)
        return secret


def read_transport(
    transport: Node, names: Mapping[str, str], environ: Mapping[str, str] | None, now: float | None
) -> TransportDraft:
    """The transport as written here, or merged. `names` fill in {device} and {stream}.

    Without `environ` no secret is read; without `now` (seconds since the epoch) nothing is said about expiry.
    """
    if isinstance(transport.value, str):
        transport = replace(transport, value={"type": transport})
    draft = TransportDraft(transport)
    kind = transport.get("type")
    match kind.value if kind else "auto":
        case "livekit":
            _own_room(draft, names, environ)
            _judge(draft, now)
        case "auto" | "webrtc":
            _ice(draft, environ)
    return draft


# -- a room of the user's own ------------------------------------------------------------------------------------------


def _own_room(draft: TransportDraft, names: Mapping[str, str], environ: Mapping[str, str] | None) -> None:
    node = draft.node
    if (url := node.get("url")) and isinstance(url.value, str):
        draft.problems += _url_problems(url, url.value)
    draft.problems += _ways_problems(node)
    by_tokens = any(node.get(key) for key in TOKENS) and not any(node.get(key) for key in PAIR)
    for key, default in NAMES.items():
        written = node.get(key)
        if written and by_tokens:
            draft.problems.append(written.key_problem(f"the tokens say which {key} it is; remove it"))
        elif not by_tokens:
            draft.problems += placeholder_problems(written, names) if written else ()
            draft.node = draft.node.having(**{key: _filled(written, default, names, node)})
    if environ is not None:
        draft.login = RoomLogin(
            **{key: _secret(draft, at, environ) for key in (*TOKENS, *PAIR) if (at := node.get(key))}
        )


def _secret(draft: TransportDraft, at: Node, environ: Mapping[str, str]) -> Secret | None:
    if at.path[-1] == "api_key" and isinstance(at.value, str):
        return Secret(at.value)  # which is a name that every token shows, so nothing to mask
    return draft.read(at, environ, read_key)


def _filled(written: Node | None, default: str, names: Mapping[str, str], transport: Node) -> Node:
    node = written or replace(transport, value=default)
    if not isinstance(node.value, str):
        return node
    text = node.value
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return replace(node, value=text)


def _url_problems(url: Node, text: str) -> Iterator[Problem]:
    """The URL is never repeated: it may hold a password."""
    if re.search(r"\s", text) or not text:
        return
    parts, usable = parted(text)
    if parts.scheme in ("http", "https"):
        right = "wss" if parts.scheme == "https" else "ws"
        yield url.problem(f"LiveKit's signalling is a WebSocket: write {right}:// instead of {parts.scheme}://")
    elif not usable or parts.scheme not in ("ws", "wss"):
        yield url.problem(f"expected a URL that begins with wss:// or ws://, such as {EXAMPLE}")
    elif parts.username is not None or parts.password is not None:
        yield url.problem("a URL with a password in it; a room is joined with tokens")
    elif parts.query or parts.fragment:
        yield url.problem(f"the URL of a room server has no ? and no #; expected one such as {EXAMPLE}")


def _ways_problems(node: Node) -> Iterator[Problem]:
    if not node.map.keys() <= LiveKitTransport.model_fields.keys():
        return  # a key that is mistyped is told as such, and may be the one that is missing
    tokens, pair = [key for key in TOKENS if node.get(key)], [key for key in PAIR if node.get(key)]
    if tokens and pair:
        yield node.map[pair[0]].key_problem(f"{pair[0]} makes tokens, and {tokens[0]} is one; give {WAYS}")
    elif not tokens and not pair:
        yield node.key_problem(f"missing: {WAYS}")
    for given, all_of in ((tokens, TOKENS), (pair, PAIR)):
        lacking = [key for key in all_of if key not in given]
        if given and lacking and not (tokens and pair):
            yield node.map[given[0]].key_problem(f"{given[0]} goes with {lacking[0]}: {WHAT_FOR[lacking[0]]}")


def _participant(draft: TransportDraft) -> tuple[str, str, str] | None:
    """Who this device is in which room on which server; None where that is not known."""
    url, room, identity = (draft.node.get(key) for key in ("url", *NAMES))
    texts = [node.value if node and isinstance(node.value, str) else "" for node in (url, room, identity)]
    if draft.login.publish_token:
        with suppress(NoToken):
            token = read(draft.login.publish_token.reveal())
            texts[1:] = token.room, token.identity
    return (texts[0], texts[1], texts[2]) if all(texts) else None


def doubled(transports: Mapping[str, TransportDraft]) -> Iterator[tuple[str, Problem]]:
    """Of the transports of streams that are to run, those with which one stream throws another out of its room."""
    taken: dict[tuple[str, str, str], str] = {}
    for name, draft in transports.items():
        kind, who = draft.node.get("type"), _participant(draft)
        if kind is None or kind.value != "livekit" or who is None:
            continue
        if who in taken:
            at = draft.node.get("identity") or draft.node.get("room") or draft.node
            told = f"{name} and {taken[who]} are one participant of one room, and would throw each other out of it"
            yield name, at.problem(f"{told}; give each a room or an identity of its own")
        taken.setdefault(who, name)


# -- tokens that somebody else made ------------------------------------------------------------------------------------


def _judge(draft: TransportDraft, now: float | None) -> None:
    for doubt in doubts(draft.login.tokens, now):
        told = draft.node.map[doubt.key].problem(doubt.words)
        (draft.problems if doubt.expired else draft.warnings).append(told)


# -- servers for legacy WebRTC -----------------------------------------------------------------------------------------

_PORT = r"(:\d{1,5})?"
_SCHEMES: Mapping[str, str] = {
    "stun": rf"stun:[^?:\[\]\s]+{_PORT}",
    "turn": rf"turn:[^?:\[\]\s]+{_PORT}(\?transport=(udp|tcp))?",
    "turns": rf"turns:[^?:\[\]\s]+{_PORT}(\?transport=tcp)?",
}
"""What aiortc can use (RFC 7064, RFC 7065): no STUN over TLS, no TURN over DTLS, no IPv6 address."""

_ICE = "expected stun:HOST:PORT, turn:HOST:PORT?transport=udp (or tcp), or turns:HOST:PORT"


def _ice(draft: TransportDraft, environ: Mapping[str, str] | None) -> None:
    servers = draft.node.get("ice_servers")
    for server in servers.items if servers else ():
        _, wrong = validate(IceServerConfig, server, ())
        if not wrong:
            draft.problems += _ice_problems(server)
        credential = server.get("credential")
        draft.ice.append(draft.read(credential, environ, read_password) if credential and environ is not None else None)


def _ice_problems(server: Node) -> Iterator[Problem]:
    urls = server.map["urls"]
    relay = None
    for url in urls.items or (urls,):
        text = str(url.value)
        scheme = text.partition(":")[0]
        if not re.fullmatch(_SCHEMES.get(scheme, r"(?!)"), text, re.ASCII):
            yield url.problem(_ICE)
        elif scheme != "stun":
            relay = relay or url
    lacking = [key for key in ("username", "credential") if not server.get(key)]
    if relay and lacking:
        yield relay.problem(f"a TURN server asks who wants a relay; give {' and '.join(lacking)}")
