"""What of H.264 must be known to pass it on untouched (ITU-T H.264, sections 7.3 and 7.4, Annex B). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SLICE, IDR, SEI, SPS, PPS, DELIMITER = 1, 5, 6, 7, 8, 9
"""nal_unit_type (Table 7-1)."""

START = b"\x00\x00\x00\x01"
_START_CODE = re.compile(b"\x00\x00\x01")
_EMULATION = re.compile(rb"\x00\x00\x03(?=[\x00-\x03]|\Z)")
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
_INTRA_PROFILES = (44, 86, 100, 110, 122, 244)
_B_SLICES = (1, 6)
"""slice_type (Table 7-6)."""


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
    return [data[begin] & 0x1F for begin in _begins(data)]


def has_b_slice(data: bytes) -> bool:
    """Whether an access unit refers to pictures that are shown after it: its first slice says so (section 7.3.3)."""
    begin = next((begin for begin in _begins(data) if _is_slice(data[begin])), None)
    if begin is None:
        return False
    bits = _Bits(data[begin + 1 : begin + 17])
    try:
        bits.unsigned()  # first_mb_in_slice
        return bits.unsigned() in _B_SLICES
    except ValueError:  # a slice of a byte or two is none
        return False


def _begins(data: bytes) -> Iterator[int]:
    """Where the NAL units of an access unit begin, up to its first slice."""
    for match in _START_CODE.finditer(data):
        begin = match.end()
        if begin < len(data):
            yield begin
            if _is_slice(data[begin]):
                return


def _is_slice(header: int) -> bool:
    return SLICE <= header & 0x1F <= IDR  # 2 to 4 are the parts of one (Extended profile)


def from_lengths(data: bytes, length_size: int = 4) -> bytes:
    """Annex B from the form of MP4 and of most containers, in which each NAL unit follows its length."""
    units, offset = [], 0
    while offset + length_size <= len(data):
        length = int.from_bytes(data[offset : offset + length_size], "big")
        offset += length_size
        if length:
            units.append(START + data[offset : offset + length])
        offset += length
    return b"".join(units)


def parse_avcc(record: bytes) -> tuple[int, bytes]:
    """How long the lengths of `from_lengths` are, and the parameter sets in Annex B form.

    `record` is what such containers say beforehand (ISO/IEC 14496-15, AVCDecoderConfigurationRecord). Raises ValueError
    for anything else, Annex B included.
    """
    if len(record) < 7 or record[0] != 1:
        raise ValueError("not an AVCDecoderConfigurationRecord")
    sets, offset = bytearray(), 5
    for mask in (0x1F, 0xFF):  # the sequence parameter sets, then the picture parameter sets
        count = _byte(record, offset) & mask
        offset += 1
        for _ in range(count):
            end = offset + 2 + (_byte(record, offset) << 8 | _byte(record, offset + 1))
            if end > len(record):
                raise ValueError("an AVCDecoderConfigurationRecord that ends too early")
            sets += START + record[offset + 2 : end]
            offset = end
    return (record[4] & 3) + 1, bytes(sets)


def _byte(record: bytes, offset: int) -> int:
    if offset >= len(record):
        raise ValueError("an AVCDecoderConfigurationRecord that ends too early")
    return record[offset]


class ParameterSets:
    """Remembers SPS and PPS, and puts them before every IDR that comes without: who joins late needs them."""

    def __init__(self, extradata: bytes = b"") -> None:
        """`extradata`: parameter sets known beforehand, in Annex B form."""
        self.sps: bytes | None = None
        """The newest SPS."""
        # By their ids: an encoder may have several, and no more than 32 and 256 (section 7.4.2).
        self._sps: dict[int, bytes] = {}
        self._pps: dict[int, bytes] = {}
        self._remember(extradata)

    def complete(self, data: bytes) -> tuple[bytes, bool]:
        """The access unit with its parameter sets, and whether it is a keyframe that can be decoded by itself."""
        found = kinds(data)
        if SPS in found or PPS in found:
            self._remember(data)
        if IDR not in found or not self._sps or not self._pps:
            return data, False
        if SPS in found and PPS in found:
            return data, True
        return self._inserted(data, found), True

    def _inserted(self, data: bytes, found: list[int]) -> bytes:
        sets = b"".join(START + nal for nal in (*self._sps.values(), *self._pps.values()))
        if found[0] != DELIMITER:
            return sets + data
        # A delimiter is the first of its access unit (section 7.4.1.2.3), or it begins another.
        delimiter = next(nal_units(data))
        return START + delimiter + sets + data[data.index(delimiter) + len(delimiter) :]

    def _remember(self, data: bytes) -> None:
        for nal in nal_units(data):
            if _is_slice(nal[0]):
                return
            try:
                if kind(nal) == SPS:
                    self._sps[_sps_id(nal)] = self.sps = nal
                elif kind(nal) == PPS:
                    self._pps[_Bits(nal[1:]).unsigned()] = nal
            except ValueError:  # cut off on the way: the one before it is better
                continue


def _sps_id(nal: bytes) -> int:
    bits = _Bits(nal[1:])
    bits.fixed(24)  # profile, constraint flags and level
    return bits.unsigned()


@dataclass(frozen=True, slots=True)
class Sps:
    """What a sequence parameter set says: pixels as shown, and what stands against passing the video on.

    `reorders`: whether frames may be shown in another order than they come (B-frames); None when it does not say.
    """

    width: int
    height: int
    reorders: bool | None
    interlaced: bool = False
    plain: bool = True
    """8 bits and 4:2:0, the one kind that WebRTC's decoders take."""

    @property
    def obstacle(self) -> str | None:
        """Why WebRTC's receivers cannot show it as it is; None when nothing is known against it."""
        if self.reorders:
            return "it has B-frames"
        if self.interlaced:
            return "it is interlaced"
        return None if self.plain else "its colours are not 8 bits and 4:2:0"


def parse_sps(nal: bytes) -> Sps:
    """Read a sequence parameter set (section 7.3.2.1.1). Raises ValueError when it is none, or ends too early."""
    bits = _Bits(_EMULATION.sub(b"\x00\x00", nal[1:]))
    profile, constraints = bits.fixed(8), bits.fixed(8)
    bits.fixed(8)  # level
    bits.unsigned()  # seq_parameter_set_id
    chroma, plain = _high_profile(bits) if profile in _HIGH_PROFILES else (1, True)
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
    if not (0 < width <= _LARGEST and 0 < height <= _LARGEST):
        raise ValueError(f"a parameter set of {width}x{height} pixels")
    # Baseline has no B slices (A.2.1), an intra profile nothing but IDRs (A.2.8), order type 2 is the order of output
    # (8.2.1.3), and without reference frames nothing is reordered.
    baseline, intra = profile == 66 or constraints & 0x80, profile in _INTRA_PROFILES and constraints & 0x10
    never = order == 2 or baseline or intra or references == 0
    return Sps(width, height, False if never else _reorders(bits), not progressive, plain)


_LARGEST = 16384
"""Pixels: level 6.2 allows 16,880 in either direction (A.3.1), and no camera comes near."""


def _high_profile(bits: _Bits) -> tuple[int, bool]:
    """chroma_format_idc, and whether that and the depth are the usual ones."""
    chroma = bits.unsigned()
    if chroma == 3:
        bits.fixed(1)
    depths = bits.unsigned(), bits.unsigned()
    bits.fixed(1)
    if bits.fixed(1):  # seq_scaling_matrix_present_flag
        for index in range(8 if chroma != 3 else 12):
            if bits.fixed(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma, chroma == 1 and depths == (0, 0)


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
    """Whether the VUI allows any frame to be reordered. None where it is silent, or ends too early as some do."""
    try:
        frames = _reordered_frames(bits) if bits.fixed(1) else None
    except ValueError:
        return None
    return None if frames is None else frames > 0


def _reordered_frames(bits: _Bits) -> int | None:
    """max_num_reorder_frames (Annex E.1.1), if it is there."""
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
    hrd = False
    for _ in range(2):
        if bits.fixed(1):
            _skip_hrd(bits)
            hrd = True
    if hrd:
        bits.fixed(1)
    bits.fixed(1)
    if not bits.fixed(1):  # bitstream_restriction_flag
        return None
    bits.fixed(1)
    for _ in range(4):
        bits.unsigned()
    return bits.unsigned()


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
            if zeros > 32:
                raise ValueError("a code longer than any that stands for 32 bits")
        return (1 << zeros) - 1 + self.fixed(zeros)

    def signed(self) -> int:
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
