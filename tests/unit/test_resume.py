"""Which streams of an earlier process go on, and what is written of them: the pure parts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.resume import VERSION, Kept, decode, encode, machine_tag, sort_out
from overshootd.statefile import Unusable

MACHINE_ID = "0123456789abcdef0123456789abcdef\n"

names = st.sampled_from(["gate", "yard", "door"])
fingerprints = st.sampled_from(["aa", "bb"])
transports = st.sampled_from(["native", "livekit", "webrtc"])
wishes = st.dictionaries(names, fingerprints)
kepts = st.lists(
    st.builds(Kept, names, st.text(min_size=1), st.text(), transports, fingerprints),
    max_size=8,
    unique_by=lambda one: one.stream_id,
)


def kept(stream: str = "gate", stream_id: str = "s1", transport: str = "native", fingerprint: str = "aa") -> Kept:
    return Kept(stream, stream_id, "wss://room.example", transport, fingerprint)


def test_an_unchanged_stream_goes_on() -> None:
    assert sort_out([kept()], {"gate": "aa"}) == ({"gate": kept()}, [])


@pytest.mark.parametrize("wanted", [{"gate": "bb"}, {}, {"yard": "aa"}], ids=["changed", "removed", "renamed"])
def test_a_stream_that_is_not_wanted_as_it_is_is_a_stray(wanted: dict[str, str]) -> None:
    assert sort_out([kept()], wanted) == ({}, [kept()])


def test_of_several_under_one_name_the_newest_goes_on() -> None:
    old, new = kept(stream_id="s1"), kept(stream_id="s2")
    assert sort_out([old, new], {"gate": "aa"}) == ({"gate": new}, [old])


def test_an_older_stream_does_not_go_on_because_the_newest_cannot() -> None:
    old, new = kept(stream_id="s1"), kept(stream_id="s2", fingerprint="bb")
    assert sort_out([old, new], {"gate": "aa"}) == ({}, [old, new])


def test_a_legacy_stream_ended_with_its_connection() -> None:
    assert sort_out([kept(transport="webrtc")], {"gate": "aa"}) == ({}, [kept(transport="webrtc")])


@given(kepts, wishes)
def test_every_stream_either_goes_on_or_is_a_stray(all_kept: list[Kept], wanted: dict[str, str]) -> None:
    """None is forgotten, which would bill it, and none is resumed and deleted."""
    resumed, strays = sort_out(all_kept, wanted)
    assert sorted([*resumed.values(), *strays], key=all_kept.index) == all_kept


@given(kepts, wishes)
def test_what_goes_on_is_what_the_configuration_asks_for(all_kept: list[Kept], wanted: dict[str, str]) -> None:
    resumed, _ = sort_out(all_kept, wanted)
    assert {name: one.fingerprint for name, one in resumed.items()}.items() <= wanted.items()
    assert all(name == one.stream for name, one in resumed.items())


@given(kepts)
def test_what_is_written_is_read_again(all_kept: list[Kept]) -> None:
    assert decode(encode(all_kept, "tag")) == ("tag", all_kept)


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_rubbish_is_refused_and_nothing_else_happens(content: bytes) -> None:
    with pytest.raises(Unusable):
        decode(content)


@given(kepts.filter(bool), st.data())
def test_a_file_that_was_cut_short_is_refused(all_kept: list[Kept], data: st.DataObject) -> None:
    content = encode(all_kept, "tag")
    cut = data.draw(st.integers(0, len(content) - 2), label="cut")  # the last byte is a line's end
    with pytest.raises(Unusable):
        decode(content[:cut])


@pytest.mark.parametrize(
    ("change", "suffix"),
    [
        ({"version": VERSION + 1, "streams": "of another shape"}, "newer"),
        ({"version": 0}, "corrupt"),
        ({"streams": [{"stream": "gate"}]}, "corrupt"),
        ({"streams": [{"stream": "gate", "stream_id": "", "url": "", "transport": "", "fingerprint": ""}]}, "corrupt"),
        ({"machine": None}, "corrupt"),
    ],
)
def test_the_name_that_an_unusable_file_gets_says_why(change: dict[str, object], suffix: str) -> None:
    content = json.loads(encode([kept()], "tag")) | change
    with pytest.raises(Unusable) as refused:
        decode(json.dumps(content).encode())
    assert refused.value.suffix == suffix


def test_the_machines_tag_does_not_show_its_id() -> None:
    assert machine_tag(MACHINE_ID)
    assert MACHINE_ID.strip() not in machine_tag(MACHINE_ID)
    assert machine_tag(MACHINE_ID) == machine_tag(MACHINE_ID.strip()) != machine_tag("f" * 32)


@pytest.mark.parametrize("machine_id", ["", "\n", "uninitialized\n"])
def test_a_machine_without_an_id_has_no_tag(machine_id: str) -> None:
    assert machine_tag(machine_id) == ""
