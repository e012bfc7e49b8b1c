"""What the first packets of a network camera tell: its rate, its keyframes, and whether it can be passed on. Pure."""

from __future__ import annotations

from itertools import dropwhile, pairwise

from overshootd.ffmpeg.inbox import NetworkPacket
from overshootd.h264 import ParameterSets, Sps, from_lengths, has_b_slice, parse_avcc, parse_sps

PUBLISH_SLACK, KEYFRAME_SECONDS = 1.1, 3.0
"""A second keyframe is waited for as long as the publish interval, and never longer than this: whether it comes later
makes no difference, for keyframes alone would be too few then."""

UNSURE_SECONDS = 1.0
"""How long to look where the video itself does not say its rate, or whether it has B-frames."""

BURST_NS = 5_000_000
"""Packets that come closer together had been waiting in FFmpeg: their arrival says nothing of the rate."""


class Units:
    """H.264 as FFmpeg's demuxers give it, made into access units that can be passed on."""

    def __init__(self, extradata: bytes) -> None:
        """`extradata`: what the container or the session description said beforehand, in either form."""
        try:
            self._length_size, known = parse_avcc(extradata)
        except ValueError:
            self._length_size, known = 0, extradata
        self._sets = ParameterSets(known)
        self._parsed: bytes | None = None
        self.sps: Sps | None = None
        """The newest, if it can be read."""
        self.b_frames = self.idrs = self.recovers = False
        """Whether there were any: B-frames, IDRs, and keyframes that are none."""
        self._parse()

    def take(self, packet: NetworkPacket) -> NetworkPacket:
        """In Annex B form; a keyframe is an IDR with its parameter sets. Where none has come, what FFmpeg takes for one
        is a keyframe too, enough to begin decoding."""
        data = from_lengths(packet.data, self._length_size) if self._length_size else packet.data
        data, idr = self._sets.complete(data)
        self._parse()
        self.idrs = self.idrs or idr
        self.recovers = self.recovers or (packet.keyframe and not idr)
        self.b_frames = self.b_frames or has_b_slice(data)
        return packet._replace(data=data, keyframe=idr or (packet.keyframe and not self.idrs))

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be passed on, as far as is known."""
        if self.sps is None:
            return "its parameter sets cannot be read"
        if self.recovers and not self.idrs:
            return "it has no keyframe that a receiver could begin with"
        return self.sps.obstacle or ("it has B-frames" if self.b_frames else None)

    def _parse(self) -> None:
        if self._sets.sps is None or self._sets.sps == self._parsed:
            return
        self._parsed = self._sets.sps
        try:
            self.sps = parse_sps(self._parsed)
        except ValueError:
            self.sps = None


class Survey:
    """Takes packets until it knows enough, and keeps those that are still of use."""

    def __init__(self, fps: float | None, units: Units | None = None) -> None:
        """`fps` is the rate that the video says; `units` for H.264."""
        self._fps, self._units = fps, units
        self._seen: list[NetworkPacket] = []  # since the first keyframe, without their data
        self.kept: list[NetworkPacket] = []
        """Those since the last keyframe, converted: older ones are late by as long as the survey took."""
        self.keyframe_seconds: float | None = None

    @property
    def first_ns(self) -> int | None:
        """When the first keyframe came."""
        return self._seen[0].arrived_ns if self._seen else None

    def add(self, packet: NetworkPacket) -> None:
        """The next packet."""
        if self._units is not None:
            packet = self._units.take(packet)
        if packet.keyframe:
            self.kept.clear()
            self._measure(packet)
        if self._seen or packet.keyframe:
            self.kept.append(packet)
            self._seen.append(packet._replace(data=b""))

    def patience(self, fps: float) -> float:
        """Seconds after the first keyframe that it takes, for a stream that needs so many frames per second."""
        return max(min(PUBLISH_SLACK / fps, KEYFRAME_SECONDS), 0.0 if self._sure else UNSURE_SECONDS)

    @property
    def complete(self) -> bool:
        """Whether nothing more needs to be known."""
        return bool(self._seen) and self._sure and (self.keyframe_seconds is not None or not self._passable)

    @property
    def fps(self) -> float:
        """What the video says, else what its times say, else how its packets came; 1 where there were too few."""
        if self._fps is not None:
            return self._fps
        times = sorted(packet.seconds for packet in self._seen if packet.seconds is not None)
        if len(times) > 1 and (rate := _rate(times)) is not None:
            return rate
        gaps = dropwhile(lambda pair: pair[1] - pair[0] < BURST_NS, pairwise(p.arrived_ns for p in self._seen))
        live = [pair[1] / 1e9 for pair in gaps]
        return _rate(live) or 1.0

    @property
    def _passable(self) -> bool:
        """Only who is passed on can be so by keyframes alone."""
        units = self._units
        return units is not None and not units.b_frames and (units.sps is None or units.sps.obstacle is None)

    @property
    def _sure(self) -> bool:
        if self._fps is None or self._units is None:
            return self._fps is not None
        return self._units.sps is not None and self._units.sps.reorders is not None

    def _measure(self, keyframe: NetworkPacket) -> None:
        if self.keyframe_seconds is not None or not self._seen:
            return
        first = self._seen[0].seconds
        if first is not None and keyframe.seconds is not None and keyframe.seconds > first:
            self.keyframe_seconds = keyframe.seconds - first
        else:
            self.keyframe_seconds = len(self._seen) / self.fps


def _rate(times: list[float]) -> float | None:
    span = times[-1] - times[0] if times else 0.0
    return round((len(times) - 1) / span, 1) if span > 0 else None
