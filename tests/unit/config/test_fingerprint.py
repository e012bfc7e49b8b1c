"""A restart goes on with a stream exactly as long as the same is asked of the API."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from overshootd.config.cameras import TestCamera
from overshootd.config.fingerprint import stream_fingerprint
from overshootd.config.model import (
    ApiConfig,
    ClipProcessing,
    FrameProcessing,
    InferenceConfig,
    PublishConfig,
    StreamConfig,
)
from overshootd.config.pieces import SecretRef
from overshootd.config.secret import Secret
from overshootd.config.sinks import FileSink, MqttSink
from overshootd.config.transports import (
    AutoTransport,
    IceServerConfig,
    IceUrl,
    LiveKitTransport,
    NativeTransport,
    RoomLogin,
    TransportConfig,
    WebrtcTransport,
)

API, KEY = ApiConfig(), Secret("ovs_test")
REF = SecretRef(env="X")
ROOM = LiveKitTransport(url="wss://x", token=REF, publish_token=REF)
LOGIN = RoomLogin(token=Secret("watch"), publish_token=Secret("publish"))


def stream(**keys: Any) -> StreamConfig:
    same: dict[str, Any] = {
        "camera": TestCamera(type="test"),
        "mode": "frame",
        "processing": FrameProcessing(interval_seconds=2),
        "inference": InferenceConfig(prompt="Who?", model="m"),
    }
    return StreamConfig(**{**same, **keys})


def word(config: StreamConfig, api: ApiConfig = API, key: Secret = KEY) -> str:
    return stream_fingerprint(config, api, key)


def test_it_is_the_same_in_every_release() -> None:
    """Whoever changes one of these ends the streams of all who upgrade."""
    assert word(stream()) == PLAIN
    assert word(stream(mode="clip", processing=ClipProcessing(clip_length_seconds=1, delay_seconds=2))) == CLIP
    assert word(stream(transport=ROOM, room_login=LOGIN)) == OWN_ROOM


PLAIN = "d568c5b3bf0108e3b4affe7011423897acac8ac6f91cab5939a92e864ba1f939"
CLIP = "cf25c35b5c213993bb4a4507fbcfb375d8da9083d6cf709db09a71e0ce0bba9e"
OWN_ROOM = "f6fea040416447bddd5e0fb1dff3f604ccda24d0df6bb79bbbb7dc975f62c7d4"

TEXTS = st.text(min_size=1, max_size=8).filter(lambda text: bool(text.strip()))
TRANSPORTS: st.SearchStrategy[TransportConfig] = st.one_of(
    st.builds(AutoTransport), st.builds(NativeTransport), st.builds(WebrtcTransport), st.just(ROOM)
)
PROCESSING = st.one_of(
    st.builds(FrameProcessing, interval_seconds=st.integers(1, 60).map(float)),
    st.builds(ClipProcessing, clip_length_seconds=st.just(1.0), delay_seconds=st.integers(1, 60).map(float)),
)
ASKED = st.fixed_dictionaries(
    {
        "transport": TRANSPORTS,
        "processing": PROCESSING,
        "inference": st.builds(
            InferenceConfig,
            prompt=TEXTS,
            model=TEXTS,
            backend=st.sampled_from([None, "overshoot", "gemini"]),
            max_output_tokens=st.none() | st.integers(1, 64),
            output_schema_json=st.none() | st.dictionaries(TEXTS, st.integers(), max_size=3),
        ),
        "room_login": st.builds(RoomLogin, token=st.just(Secret("a")) | st.just(Secret("b"))),
    }
)


def asked(keys: dict[str, Any]) -> dict[str, Any]:
    mode = "clip" if isinstance(keys["processing"], ClipProcessing) else "frame"
    login = keys["room_login"] if isinstance(keys["transport"], LiveKitTransport) else RoomLogin()
    return {**keys, "mode": mode, "room_login": login}


@given(ASKED, ASKED, st.sampled_from(["v0.2", "other/v0.2"]), TEXTS, TEXTS)
def test_two_are_the_same_exactly_when_the_same_is_asked(
    one: dict[str, Any], other: dict[str, Any], base: str, a_key: str, b_key: str
) -> None:
    a, b = asked(one), asked(other)
    api = ApiConfig(base_url=f"https://x/{base}")
    same = a == b and _order(a) == _order(b)
    assert (word(stream(**a)) == word(stream(**b))) == same
    assert (word(stream(**a), api) == word(stream(**a))) == (api == API)
    assert (word(stream(**a), key=Secret(a_key)) == word(stream(**a), key=Secret(b_key))) == (a_key == b_key)


def _order(keys: dict[str, Any]) -> list[str]:
    return list(keys["inference"].output_schema_json or ())


@given(ASKED, st.booleans(), st.dictionaries(TEXTS, TEXTS, max_size=2), st.floats(0.1, 100))
def test_what_stays_on_this_device_does_not_count(
    keys: dict[str, Any], enabled: bool, labels: dict[str, str], fps: float
) -> None:
    here: dict[str, Any] = {
        "enabled": enabled,
        "labels": labels,
        "publish": PublishConfig(fps=fps),
        "camera": TestCamera(type="test", fps=5.0),
        "camera_name": "yard",
        "sinks": (FileSink(type="file", path="/x"), MqttSink(type="mqtt", broker="home")),
        "key": Secret("other"),
    }
    assert word(stream(**asked(keys), **here)) == word(stream(**asked(keys)))


def test_how_this_device_reaches_the_room_does_not_count() -> None:
    plain = word(stream(transport=ROOM, room_login=LOGIN))
    elsewhere = ROOM.model_copy(update={"token": SecretRef(file="/y"), "publish_token": SecretRef(file="/z")})
    assert word(stream(transport=elsewhere, room_login=LOGIN)) == plain
    assert word(stream(transport=ROOM, room_login=replace(LOGIN, publish_token=Secret("new")))) == plain
    ice = WebrtcTransport(ice_servers=(IceServerConfig(urls=("stun:s",)),))
    assert word(stream(transport=ice, ice=(IceUrl("stun:s"),))) == word(stream(transport=WebrtcTransport()))


def test_what_the_gateway_joins_with_and_where_counts() -> None:
    words = {
        word(stream(transport=ROOM, room_login=LOGIN)),
        word(stream(transport=ROOM, room_login=replace(LOGIN, token=Secret("new")))),
        word(stream(transport=ROOM.model_copy(update={"url": "wss://y"}), room_login=LOGIN)),
        word(stream(transport=ROOM.model_copy(update={"room": "y"}), room_login=LOGIN)),
        word(stream(transport=ROOM, room_login=RoomLogin(api_key=Secret("k"), api_secret=Secret("s")))),
        word(stream(transport=ROOM, room_login=RoomLogin(api_key=Secret("k"), api_secret=Secret("t")))),
    }
    assert len(words) == 6


def test_the_order_in_which_a_schema_asks_counts() -> None:
    schemas = [{"a": 1, "b": 2}, {"b": 2, "a": 1}]
    words = {
        word(stream(inference=InferenceConfig(prompt="x", model="m", output_schema_json=schema))) for schema in schemas
    }
    assert len(words) == 2
