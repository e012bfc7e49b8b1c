"""Writes H.264 sequence parameter sets, for tests of every part of one (ITU-T H.264, 7.3.2.1.1 and Annex E)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

HIGH_PROFILES = (100, 110, 122, 244)


@dataclass(frozen=True, slots=True)
class Vui:
    """The part about how to show it. `reorder` is max_num_reorder_frames, None for no bitstream restriction."""

    reorder: int | None = None
    sar: int | None = None
    overscan: bool = False
    colours: bool = False
    chroma_loc: bool = False
    timing: bool = False
    hrds: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What the set shall say; sizes in macroblocks, `crop` in the units of the syntax (left, right, top, bottom)."""

    profile: int = 100
    constraints: int = 0
    chroma: int = 1
    depth: int = 0
    scaling: tuple[tuple[int, ...] | None, ...] = ()
    order: int = 0
    references: int = 1
    columns: int = 20
    rows: int = 15
    progressive: bool = True
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    vui: Vui | None = field(default=None)


def write_sps(plan: Plan) -> bytes:
    """The NAL unit, with emulation prevention and without a start code."""
    bits = _Writer()
    bits.fixed(8, plan.profile).fixed(8, plan.constraints).fixed(8, 31).unsigned(0)
    if plan.profile in HIGH_PROFILES:
        _write_colours(bits, plan)
    bits.unsigned(0)  # log2_max_frame_num_minus4
    bits.unsigned(plan.order)
    if plan.order == 0:
        bits.unsigned(2)
    elif plan.order == 1:
        bits.fixed(1, 0).signed(-3).signed(2).unsigned(2).signed(1).signed(-1)
    bits.unsigned(plan.references).fixed(1, 0).unsigned(plan.columns - 1).unsigned(plan.rows - 1)
    bits.fixed(1, plan.progressive)
    if not plan.progressive:
        bits.fixed(1, 1)
    bits.fixed(1, 1).fixed(1, any(plan.crop))
    for edge in plan.crop if any(plan.crop) else ():
        bits.unsigned(edge)
    bits.fixed(1, plan.vui is not None)
    if plan.vui is not None:
        _write_vui(bits, plan.vui)
    return b"\x67" + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", bits.closed())


def _write_colours(bits: _Writer, plan: Plan) -> None:
    bits.unsigned(plan.chroma)
    if plan.chroma == 3:
        bits.fixed(1, 0)
    bits.unsigned(plan.depth).unsigned(plan.depth).fixed(1, 0).fixed(1, bool(plan.scaling))
    if plan.scaling:
        for index in range(8 if plan.chroma != 3 else 12):
            deltas = plan.scaling[index % len(plan.scaling)]
            bits.fixed(1, deltas is not None)
            for delta in _scaling_list(deltas, 16 if index < 6 else 64) if deltas is not None else ():
                bits.signed(delta)


def _scaling_list(deltas: tuple[int, ...], size: int) -> list[int]:
    """As many of the deltas as the list takes: it ends early with the one that leads to 0."""
    written, scale = list[int](), 8
    for index in range(size):
        delta = deltas[index % len(deltas)]
        written.append(delta)
        scale = (scale + delta) % 256
        if not scale:
            break
    return written


def _write_vui(bits: _Writer, vui: Vui) -> None:
    bits.fixed(1, vui.sar is not None)
    if vui.sar is not None:
        bits.fixed(8, vui.sar)
        if vui.sar == 255:
            bits.fixed(16, 4).fixed(16, 3)
    bits.fixed(1, vui.overscan)
    if vui.overscan:
        bits.fixed(1, 1)
    bits.fixed(1, vui.colours)
    if vui.colours:
        bits.fixed(4, 10).fixed(1, 1).fixed(24, 0x010101)
    bits.fixed(1, vui.chroma_loc)
    if vui.chroma_loc:
        bits.unsigned(1).unsigned(1)
    bits.fixed(1, vui.timing)
    if vui.timing:
        bits.fixed(32, 1).fixed(32, 50).fixed(1, 1)
    for index in range(2):
        bits.fixed(1, index < vui.hrds)
        if index < vui.hrds:
            bits.unsigned(1).fixed(8, 0x12)
            for _ in range(2):
                bits.unsigned(900).unsigned(500).fixed(1, 1)
            bits.fixed(20, 0xABCDE)
    if vui.hrds:
        bits.fixed(1, 0)
    bits.fixed(1, 1).fixed(1, vui.reorder is not None)
    if vui.reorder is not None:
        bits.fixed(1, 1).unsigned(0).unsigned(0).unsigned(10).unsigned(10).unsigned(vui.reorder).unsigned(4)


class _Writer:
    def __init__(self) -> None:
        self._bits: list[str] = []

    def fixed(self, count: int, value: int) -> _Writer:
        self._bits.append(format(int(value), f"0{count}b"))
        return self

    def unsigned(self, value: int) -> _Writer:
        code = format(value + 1, "b")
        self._bits.append("0" * (len(code) - 1) + code)
        return self

    def signed(self, value: int) -> _Writer:
        return self.unsigned(2 * value - 1 if value > 0 else -2 * value)

    def closed(self) -> bytes:
        text = "".join(self._bits) + "1"
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")
