from __future__ import annotations

from itertools import pairwise

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from overshootd.simulator.receiving import MarkerBuffer, SteadyEstimate, adjust


def packet(number: int, frame: int, data: bytes, *, marker: bool = False) -> RtpPacket:
    made = RtpPacket(marker=int(marker), sequence_number=number % 65536, timestamp=3000 * frame, payload=data)
    made._data = data  # type: ignore[attr-defined]  # as RTCRtpReceiver does
    return made


def packets(sizes: list[int], first: int, padding: list[int]) -> list[RtpPacket]:
    """Frames of `sizes` packets; after each come some empty ones, as probing sends them."""
    made: list[RtpPacket] = []
    for frame, (size, empty) in enumerate(zip(sizes, padding, strict=True)):
        for part in range(size):
            made.append(packet(first + len(made), frame, f"{frame}.{part} ".encode(), marker=part == size - 1))
        made += [packet(first + len(made) + index, frame, b"") for index in range(empty)]
    return made


def content(sizes: list[int]) -> list[bytes]:
    return [b"".join(f"{frame}.{part} ".encode() for part in range(size)) for frame, size in enumerate(sizes)]


frames = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), min_size=1, max_size=20)


@given(frames, st.integers(0, 65535))
def test_a_frame_is_out_with_its_last_packet(shape: list[tuple[int, int]], first: int) -> None:
    sizes, padding = [size for size, _ in shape], [empty for _, empty in shape]
    buffer = MarkerBuffer()
    for each in packets(sizes, first, padding):
        _, out = buffer.add(each)
        assert (out is not None) == bool(each.marker)
        if out is not None:
            assert out.data == content(sizes)[out.timestamp // 3000]


@given(frames, st.integers(0, 65535), st.data())
def test_what_comes_out_of_order_goes_out_in_order(
    shape: list[tuple[int, int]], first: int, data: st.DataObject
) -> None:
    """Packets are late by up to four. The buffer gives one frame per packet, so trailing ones fetch the rest."""
    sizes, padding = [size for size, _ in shape], [empty for _, empty in shape]
    sent = packets(sizes, first, padding)
    lateness = [0, *(data.draw(st.integers(0, 4)) for _ in sent[1:])]
    arriving = [sent[at] for at in sorted(range(len(sent)), key=lambda at: at + lateness[at])]
    trailing = [packet(first + len(sent) + at, len(sizes) + at, b"end", marker=True) for at in range(len(sizes) + 1)]
    buffer = MarkerBuffer()
    out = [frame.data for each in [*arriving, *trailing] if (frame := buffer.add(each)[1]) is not None]
    assert [each for each in out if each != b"end"] == content(sizes)


@given(st.lists(st.integers(0, 400), min_size=2, max_size=100))
def test_the_estimate_is_sent_at_once_and_then_twice_a_second(gaps: list[int]) -> None:
    estimate, now, sent = SteadyEstimate(), 0, []
    for gap in gaps:
        now += gap
        if (report := estimate.add(now, 0, 1000, 7)) is not None:
            assert report == (6_000_000, [7])
            sent.append(now)
    assert sent[0] == gaps[0]
    assert all(500 <= later - earlier < 900 for earlier, later in pairwise(sent))


async def test_the_installed_aiortc_has_the_parts_that_we_replace() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    adjust(connection.addTransceiver("video").receiver)
    await connection.close()


async def test_an_aiortc_without_them_is_refused() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver = connection.addTransceiver("video").receiver
    del receiver._RTCRtpReceiver__jitter_buffer  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="this version of aiortc has no jitter_buffer to replace"):
        adjust(receiver)
    await connection.close()
