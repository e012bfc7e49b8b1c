"""What of H.264 must be known to pass it on untouched (ITU-T H.264, sections 7.3 and 7.4, Annex B). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SLICE, IDR, SEI, SPS, PPS, DELIMITER = 1, 5, 6, 7, 8, 9
"""nal_unit_type (Table 7-1)."""

START = b"\x00\x00\x00\x01"
_START_CODE = re.compile(b"\x00\x00\x01")
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)


def nal_units(data: bytes) -> Iterator[bytes]:
    """The NAL units of an Annex B byte stream, without start codes and trailing zeros."""
    starts = [match.end() for match in _START_CODE.finditer(data)]
    ends = [*(start - 3 for start in starts[1:]), len(data)]
    for begin, following in zip(starts, ends, strict=False):  # without a start code there is nothing in between
        if nal := data[begin:following].rstrip(b"\x00"):
            yield nal


def kind(nal: bytes) -> int:
    """nal_unit_type."""
    return nal[0] & 0x1F


def kinds(data: bytes) -> list[int]:
    """The nal_unit_type of each NAL unit of an access unit, up to its first slice; what comes then is slices."""
    found = []
    for match in _START_CODE.finditer(data):
        if match.end() < len(data):
            found.append(data[match.end()] & 0x1F)
            if found[-1] in (SLICE, IDR):
                break
    return found


def from_lengths(data: bytes, length_size: int = 4) -> bytes:
    """Annex B from the form of MP4 and of most containers, in which each NAL unit follows its length."""
    units, offset = [], 0
    while offset + length_size <= len(data):
        length = int.from_bytes(data[offset : offset + length_size], "big")
        offset += length_size
        units.append(START + data[offset : offset + length])
        offset += length
    return b"".join(units)


class ParameterSets:
    """Remembers SPS and PPS, and puts them before every IDR that comes without: who joins late needs them."""

    def __init__(self, extradata: bytes = b"") -> None:
        """`extradata`: parameter sets known beforehand, in Annex B form."""
        self.sps: bytes | None = None
        self._pps: bytes | None = None
        self._remember(extradata)

    def complete(self, data: bytes) -> tuple[bytes, bool]:
        """The access unit with its parameter sets, and whether it is a keyframe that can be decoded by itself."""
        found = kinds(data)
        if SPS in found or PPS in found:
            self._remember(data)
        if IDR not in found:
            return data, False
        if self.sps is None or self._pps is None:
            return data, False
        if SPS in found and PPS in found:
            return data, True
        return START + self.sps + START + self._pps + data, True

    def _remember(self, data: bytes) -> None:
        for nal in nal_units(data):
            if kind(nal) == SPS:
                self.sps = nal
            elif kind(nal) == PPS:
                self._pps = nal
            elif kind(nal) in (SLICE, IDR):
                return


@dataclass(frozen=True, slots=True)
class Sps:
    """What a sequence parameter set says: pixels as shown, and whether frames may be shown in another order than they
    come (B-frames). `reorders` is None when it does not say."""

    width: int
    height: int
    reorders: bool | None


def parse_sps(nal: bytes) -> Sps:
    """Read a sequence parameter set (section 7.3.2.1.1). Raises ValueError when it ends too early."""
    bits = _Bits(re.sub(b"\x00\x00\x03(?=[\x00-\x03]|$)", b"\x00\x00", nal[1:]))
    profile = bits.fixed(8)
    bits.fixed(16)  # constraint flags and level
    bits.unsigned()  # seq_parameter_set_id
    chroma = _high_profile(bits) if profile in _HIGH_PROFILES else 1
    bits.unsigned()  # log2_max_frame_num_minus4
    order = _picture_order(bits)
    references = bits.unsigned()
    bits.fixed(1)
    columns, rows = bits.unsigned() + 1, bits.unsigned() + 1
    progressive = bits.fixed(1)
    if not progressive:
        bits.fixed(1)
    bits.fixed(1)
    crop = [bits.unsigned() for _ in range(4)] if bits.fixed(1) else [0] * 4
    step_x, step_y = (1 if chroma in (0, 3) else 2), (2 - progressive) * (2 if chroma == 1 else 1)
    width = columns * 16 - step_x * (crop[0] + crop[1])
    height = (2 - progressive) * rows * 16 - step_y * (crop[2] + crop[3])
    # Baseline (66) has no B slices, order type 2 is output order; without reference frames nothing is reordered.
    never = order == 2 or profile == 66 or references == 0
    return Sps(width, height, False if never else _reorders(bits))


def _high_profile(bits: _Bits) -> int:
    chroma = bits.unsigned()
    if chroma == 3:
        bits.fixed(1)
    bits.unsigned()
    bits.unsigned()
    bits.fixed(1)
    if bits.fixed(1):  # seq_scaling_matrix_present_flag
        for index in range(8 if chroma != 3 else 12):
            if bits.fixed(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _picture_order(bits: _Bits) -> int:
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.fixed(1)
        bits.signed()
        bits.signed()
        for _ in range(bits.unsigned()):
            bits.signed()
    return order


def _reorders(bits: _Bits) -> bool | None:
    """max_num_reorder_frames of the VUI (Annex E.1.1), if it is there."""
    if not bits.fixed(1):
        return None
    if bits.fixed(1) and bits.fixed(8) == 255:  # aspect ratio, Extended_SAR
        bits.fixed(32)
    if bits.fixed(1):
        bits.fixed(1)
    if bits.fixed(1):
        bits.fixed(4)
        if bits.fixed(1):
            bits.fixed(24)
    if bits.fixed(1):
        bits.unsigned()
        bits.unsigned()
    if bits.fixed(1):
        bits.fixed(65)
    hrd = [_skip_hrd(bits) for _ in range(2) if bits.fixed(1)]
    if hrd:
        bits.fixed(1)
    bits.fixed(1)
    if not bits.fixed(1):  # bitstream_restriction_flag
        return None
    bits.fixed(1)
    for _ in range(4):
        bits.unsigned()
    return bits.unsigned() > 0


def _skip_hrd(bits: _Bits) -> None:
    count = bits.unsigned() + 1
    bits.fixed(8)
    for _ in range(count):
        bits.unsigned()
        bits.unsigned()
        bits.fixed(1)
    bits.fixed(20)


class _Bits:
    """Reads bits, most significant first; Exp-Golomb codes as in section 9.1."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def fixed(self, count: int) -> int:
        if count > self._left:
            raise ValueError("a parameter set that ends too early")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def unsigned(self) -> int:
        zeros = 0
        while not self.fixed(1):
            zeros += 1
        return (1 << zeros) - 1 + self.fixed(zeros)

    def signed(self) -> int:
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
