"""How video gets there: what may be written, what of it is a mistake, and where its secrets end up."""

import base64
import json
from typing import Any

import jsonschema
import pytest
import yaml

from overshootd.config.load import Loaded
from overshootd.config.schema import json_schema
from overshootd.config.secret import Secret
from overshootd.config.transports import IceUrl, RoomLogin
from tests.unit.config.texts import GOOD, KEY, STREAM, Load

NOW = 1_800_000_000.0
DAY = 86400


def token(identity: str, room: str = "yard", /, exp: float | None = NOW + 365 * DAY, **grants: Any) -> str:
    claims = {"sub": identity, "exp": exp, "video": {"roomJoin": True, "room": room, **grants}}
    words = ({"alg": "HS256"}, {name: value for name, value in claims.items() if value is not None})
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(w).encode()).decode().rstrip("=") for w in words), "c2ln"])


ENVIRON = {
    **KEY,
    "WATCH": token("gateway", canPublish=False),
    "PUBLISH": token("pi", canSubscribe=False),
    "SECRET": "a-secret-of-the-server",
    "TURN": "a password",
}
TOKENS = "{type: livekit, url: wss://x, token: {env: WATCH}, publish_token: {env: PUBLISH}}"
PAIR = "{type: livekit, url: wss://x, api_key: devkey, api_secret: {env: SECRET}}"


def with_transport(transport: str) -> str:
    return GOOD.replace("  s:\n", f"  s:\n    transport: {transport}\n")


def load_transport(load_text: Load, transport: str, **environ: str) -> Loaded:
    return load_text("device: {name: pi}\n" + with_transport(transport), {**ENVIRON, **environ}, now=NOW)


# -- what may be written -----------------------------------------------------------------------------------------------

FINE = {
    "auto": "auto",
    "native": "native",
    "webrtc": "webrtc",
    "{}": "auto",
    "{ice_servers: []}": "auto",
    "{type: native}": "native",
    "{type: webrtc, ice_servers: [{urls: stun:s.example:3478}]}": "webrtc",
    "{type: auto, ice_servers: [{urls: ['turn:t:3478?transport=tcp', 'turns:t'], username: u, credential: {env: TURN}}]}": "auto",  # noqa: E501
    TOKENS: "livekit",
    PAIR: "livekit",
    PAIR.replace("devkey", "{env: SECRET}"): "livekit",
    PAIR.replace("wss://x", "ws://127.0.0.1:7880/rooms, room: '{stream}', identity: yard"): "livekit",
}


@pytest.mark.parametrize("transport", FINE)
def test_every_transport_is_taken_and_editors_take_it_too(load_text: Load, transport: str) -> None:
    loaded = load_transport(load_text, transport)
    assert (loaded.problems, loaded.warnings) == ((), ())
    assert loaded.streams["s"].transport.type == FINE[transport]
    jsonschema.Draft7Validator(json_schema()).validate(yaml.safe_load(with_transport(transport)))


def test_without_a_word_it_is_auto(load_text: Load) -> None:
    stream = load_text(GOOD).streams["s"]
    assert (stream.transport.type, stream.ice, stream.room_login) == ("auto", None, RoomLogin())


def test_room_and_identity_are_filled_in(load_text: Load) -> None:
    transport = load_transport(load_text, PAIR).streams["s"].transport
    assert transport.type == "livekit" and (transport.room, transport.identity) == ("pi-s", "pi")
    named = PAIR.replace("wss://x", "wss://x, room: 'a {stream} b', identity: '{device}-{stream}'")
    transport = load_transport(load_text, named).streams["s"].transport
    assert transport.type == "livekit" and (transport.room, transport.identity) == ("a s b", "pi-s")


def test_tokens_say_room_and_identity_themselves(load_text: Load) -> None:
    transport = load_transport(load_text, TOKENS).streams["s"].transport
    assert transport.type == "livekit" and (transport.room, transport.identity) == (None, None)


def test_a_room_s_secrets_are_read_and_masked(load_text: Load) -> None:
    loaded = load_transport(load_text, TOKENS)
    watch, publish = Secret(ENVIRON["WATCH"]), Secret(ENVIRON["PUBLISH"])
    assert loaded.streams["s"].room_login == RoomLogin(token=watch, publish_token=publish)
    assert {watch, publish} <= set(loaded.secrets)


def test_a_plain_api_key_is_no_secret_and_its_secret_is(load_text: Load) -> None:
    loaded = load_transport(load_text, PAIR)
    assert loaded.streams["s"].room_login == RoomLogin(
        api_key=Secret("devkey"), api_secret=Secret("a-secret-of-the-server")
    )
    assert set(loaded.secrets) == {Secret("ovs_test"), Secret("a-secret-of-the-server")}


def test_each_url_of_an_ice_server_has_what_it_asks_for(load_text: Load) -> None:
    servers = "[{urls: stun:s}, {urls: ['turn:t', 'turns:t:443'], username: u, credential: {env: TURN}}]"
    loaded = load_transport(load_text, f"{{type: webrtc, ice_servers: {servers}}}")
    password = Secret("a password")
    assert loaded.streams["s"].ice == (
        IceUrl("stun:s"),
        IceUrl("turn:t", "u", password),
        IceUrl("turns:t:443", "u", password),
    )
    assert password in loaded.secrets


def test_no_server_is_another_thing_than_none_given(load_text: Load) -> None:
    assert load_transport(load_text, "{type: webrtc, ice_servers: []}").streams["s"].ice == ()
    assert load_transport(load_text, "{type: webrtc, ice_servers: }").streams["s"].ice is None


def test_a_server_in_defaults_serves_streams_each_in_a_room_of_its_own(load_text: Load) -> None:
    loaded = load_text(f"device: {{name: pi}}\ndefaults: {{transport: {PAIR}}}\n{GOOD}  t:\n{STREAM}", ENVIRON)
    assert loaded.problems == ()
    assert [getattr(stream.transport, "room", None) for stream in loaded.streams.values()] == ["pi-s", "pi-t"]


def test_a_secret_of_defaults_is_replaced_as_a_whole(load_text: Load) -> None:
    elsewhere = "{type: livekit, api_secret: {env: WATCH}, api_key: {env: SECRET}}"
    loaded = load_text(f"defaults: {{transport: {PAIR.replace('env', 'file')}}}\n{with_transport(elsewhere)}", ENVIRON)
    assert loaded.problems == ()
    assert loaded.streams["s"].room_login.api_secret == Secret(ENVIRON["WATCH"])


def test_nothing_that_joins_a_room_is_read_where_no_key_may_be(load_text: Load, tmp_path: Any) -> None:
    from overshootd.config.load import load

    load_text(with_transport(PAIR.replace("env: SECRET", "file: /none")))
    loaded = load(tmp_path / "overshootd.yaml", {}, api_keys=False)
    assert (loaded.problems, set(loaded.streams)) == ((), {"s"})


# -- mistakes ----------------------------------------------------------------------------------------------------------

WAYS = "token and publish_token, or api_key and api_secret, with which both tokens are made"
ICE = "expected stun:HOST:PORT, turn:HOST:PORT?transport=udp (or tcp), or turns:HOST:PORT"


def pair(more: str, url: str = "wss://x") -> str:
    return f"{{type: livekit, url: '{url}', api_key: k, api_secret: {{env: SECRET}}, {more}}}"


def ice(server: str) -> str:
    return f"{{type: webrtc, ice_servers: [{server}]}}"


MISTAKES = [
    ("livekti", "", "livekti is no transport; did you mean livekit?"),
    ("{type: livekti}", ".type", "livekti is no transport; did you mean livekit?"),
    ("rtmp", "", "rtmp is no transport; use auto, native, webrtc or livekit"),
    ("3", "", "expected auto, native, webrtc or livekit, or a mapping with a type, such as {type: livekit, url: …}"),
    ("{url: wss://x}", "", "expected auto, native, webrtc or livekit, or a mapping with a type"),
    ("[auto]", "", "expected auto, native, webrtc or livekit, or a mapping with a type"),
    ("{type: native, url: wss://x}", ".url", "unknown key; known here: type"),
    (pair("room: '{steam}'"), ".room", "{steam} is not filled in; did you mean {stream}?"),
    (pair("identity: '{x}'"), ".identity", "{x} is not filled in; there are {device} and {stream}"),
    (pair("room: ' '"), ".room", "is empty"),
    (pair("room: 5"), ".room", 'expected text; put it in quotes: "5"'),
    (pair(f"room: {'x' * 257}"), ".room", "is longer than 256 characters"),
    (pair("", "http://x"), ".url", "LiveKit's signalling is a WebSocket: write ws:// instead of http://"),
    (pair("", "https://x"), ".url", "LiveKit's signalling is a WebSocket: write wss:// instead of https://"),
    (pair("", "x.livekit.cloud"), ".url", "expected a URL that begins with wss:// or ws://, such as wss://my-project"),
    (pair("", "wss://"), ".url", "expected a URL that begins with wss:// or ws://"),
    (pair("", "wss://x:y"), ".url", "expected a URL that begins with wss:// or ws://"),
    (pair("", "wss://[::1"), ".url", "expected a URL that begins with wss:// or ws://"),
    (pair("", "wss://u:hunter2@x"), ".url", "a URL with a password in it; a room is joined with tokens"),
    (pair("", "wss://x?access_token=hunter2"), ".url", "the URL of a room server has no ? and no #; expected one"),
    (pair("", "wss://a b"), ".url", "expected a URL without blanks, such as wss://my-project.livekit.cloud"),
    ("{type: livekit, api_key: k, api_secret: {env: SECRET}}", ".url", "missing: where your LiveKit server is"),
    ("{type: livekit, url: wss://x}", "", f"missing: {WAYS}"),
    (pair("token: {env: WATCH}"), ".api_key", f"api_key makes tokens, and token is one; give {WAYS}"),
    ("{type: livekit, url: wss://x, token: {env: WATCH}}", ".token", "token goes with publish_token: this device j"),
    ("{type: livekit, url: wss://x, publish_token: {env: PUBLISH}}", ".publish_token", "publish_token goes with token: "
     "the API's gateway joins with it, to watch"),
    ("{type: livekit, url: wss://x, api_key: k}", ".api_key", "api_key goes with api_secret: tokens are sig"),
    ("{type: livekit, url: wss://x, api_secret: {env: SECRET}}", ".api_secret", "api_secret goes with api_key: it sa"),
    (TOKENS.replace("url", "room: x, url"), ".room", "the tokens say which room it is; remove it"),
    (TOKENS.replace("url", "identity: x, url"), ".identity", "the tokens say which identity it is; remove it"),
    (TOKENS.replace("{env: WATCH}", "hunter2"), ".token", "no secret stands in this file; say where it is kept"),
    (TOKENS.replace("{env: WATCH}", "{env: NONE}"), ".token.env", "the environment variable NONE is not set"),
    (TOKENS.replace("WATCH", "TURN"), ".token.env", "the environment variable TURN holds no key; a key is one word"),
    (TOKENS.replace(" token", " subscribe_token"), ".subscribe_token", "unknown key; did you mean token?"),
    (PAIR.replace("{env: SECRET}", "hunter2"), ".api_secret", "no secret stands in this file; say where it is kept"),
    (PAIR.replace("devkey", "{env: SECRET, file: x}"), ".api_key", "give exactly one of {credential: NAME}"),
    (PAIR.replace("devkey", "5"), ".api_key", 'expected text; put it in quotes: "5"'),
    (PAIR.replace("devkey", "a b"), ".api_key", "expected one word of visible ASCII characters"),
    (ice("{}"), ".ice_servers.0.urls", "missing: where it is, such as turns:turn.example.com:443; one URL or a list"),
    (ice("{urls: []}"), ".ice_servers.0.urls", "is empty"),
    (ice("{urls: 'turn: x'}"), ".ice_servers.0.urls", "expected a URL without blanks, such as turn:turn.example.com"),
    (ice("{urls: [stun:s, https://x]}"), ".ice_servers.0.urls.1", ICE),
    (ice("{urls: stuns:s}"), ".ice_servers.0.urls", ICE),
    (ice("{urls: 'turns:t?transport=udp', username: u, credential: {env: TURN}}"), ".ice_servers.0.urls", ICE),
    (ice("{urls: turn:t}"), ".ice_servers.0.urls", "a TURN server asks who wants a relay; give username and cre"),
    (ice("{urls: [stun:s, turn:t], username: u}"), ".ice_servers.0.urls.1", "give credential"),
    (ice("{urls: turn:t, username: u, credential: hunter2}"), ".ice_servers.0.credential", "no secret stands in this"),
    (ice("{urls: turn:t, username: u, password: {env: TURN}}"), ".ice_servers.0.password", "did you mean credential?"),
    ("{type: webrtc, ice_servers: {urls: stun:s}}", ".ice_servers", "expected a list (lines that begin with '- ')"),
    ("{type: webrtc, ice_servers: [stun:s]}", ".ice_servers.0", "expected a mapping (key: value)"),
]  # fmt: skip


@pytest.mark.parametrize(("transport", "key", "said"), MISTAKES, ids=[transport for transport, _, _ in MISTAKES])
def test_one_mistake_is_told_once_at_its_key(load_text: Load, transport: str, key: str, said: str) -> None:
    loaded = load_transport(load_text, transport)
    assert [problem.key for problem in loaded.problems] == [f"streams.s.transport{key}"]
    assert said in loaded.problems[0].message
    assert "hunter2" not in "\n".join(map(str, loaded.problems))
    assert set(loaded.broken) == {"s"}


def two(first: str, second: str) -> str:
    return f"streams:\n  a:\n{STREAM}    transport: {first}\n  b:\n{STREAM}    transport: {second}\n"


def test_two_streams_that_would_throw_each_other_out_are_told(load_text: Load) -> None:
    same = pair("room: yard, identity: pi")
    for text in (two(same, same), two(TOKENS, TOKENS), two(TOKENS, same)):
        loaded = load_text(text, ENVIRON)
        assert (set(loaded.streams), [problem.key.startswith("streams.b.") for problem in loaded.problems]) == (
            {"a"},
            [True],
        )
        assert "a room or an identity of its own" in loaded.problems[0].message


def test_two_in_one_room_by_different_names_or_of_which_one_is_off_are_fine(load_text: Load) -> None:
    one, other = pair("room: yard, identity: one"), pair("room: yard, identity: other")
    assert load_text(two(one, other), ENVIRON).problems == ()
    assert load_text(two(one, one) + "    enabled: false\n", ENVIRON).problems == ()


# -- tokens that somebody else made ------------------------------------------------------------------------------------

DOUBTS = [
    ("PUBLISH", "no-token", "is no LiveKit access token: those are three words with a dot between each"),
    ("WATCH", "a.b.c", "is no LiveKit access token: what stands between its dots is no base64 of JSON"),
    ("PUBLISH", token("pi", canPublish=False), "may not publish a camera: its grants need canPublish"),
    ("PUBLISH", token("pi", canPublishSources=["microphone"]), "may not publish a camera"),
    ("PUBLISH", token("pi", roomJoin=False), "lets nobody join a room: its grants need roomJoin and a room"),
    ("PUBLISH", token(""), "names nobody: it needs an identity (sub)"),
    ("WATCH", token("gateway", canSubscribe=False), "may not subscribe, so the API would see nothing"),
    ("WATCH", token("gateway", "attic"), "is for the room attic, and publish_token for yard: they must name the same"),
    ("WATCH", token("pi"), "is for pi, as publish_token is: two of one identity throw each other out of the room"),
    ("WATCH", token("gateway", exp=NOW + 3 * DAY), "expires in 3 days, at 2027-01-18 08:00 UTC"),
    ("PUBLISH", token("pi", exp=NOW + 5 * 3600), "expires in 5 hours, at 2027-01-15 13:00 UTC"),
]


@pytest.mark.parametrize(("which", "written", "said"), DOUBTS, ids=[said[:30] for _, _, said in DOUBTS])
def test_a_doubtful_token_is_a_warning_at_its_key_and_the_stream_runs(
    load_text: Load, which: str, written: str, said: str
) -> None:
    loaded = load_transport(load_text, TOKENS, **{which: written})
    key = {"WATCH": "token", "PUBLISH": "publish_token"}[which]
    assert [(warning.key, said in warning.message) for warning in loaded.warnings] == [
        (f"streams.s.transport.{key}", True)
    ]
    assert (loaded.problems, set(loaded.streams)) == ((), {"s"})
    assert written not in "\n".join(map(str, loaded.warnings))


def test_an_expired_token_is_a_mistake_to_whoever_knows_the_time(load_text: Load) -> None:
    old = token("pi", exp=NOW - 60)
    loaded = load_transport(load_text, TOKENS, PUBLISH=old)
    assert [problem.message for problem in loaded.problems] == ["expired at 2027-01-15 07:59 UTC"]
    text = with_transport(TOKENS)
    assert load_text(text, {**ENVIRON, "PUBLISH": old}).problems == ()


def test_a_token_that_never_expires_or_not_for_long_is_no_matter(load_text: Load) -> None:
    for exp in (None, NOW + 31 * DAY):
        loaded = load_transport(load_text, TOKENS, PUBLISH=token("pi", exp=exp))
        assert (loaded.problems, loaded.warnings) == ((), ())
