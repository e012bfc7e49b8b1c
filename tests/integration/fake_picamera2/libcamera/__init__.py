"""As much of libcamera's Python bindings as picamera2_child.py touches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from types import SimpleNamespace


@dataclass
class Transform:
    hflip: bool = False
    vflip: bool = False


class AfModeEnum(IntEnum):
    Manual = 0
    Continuous = 2


class NoiseReductionModeEnum(IntEnum):
    Off = 0
    Fast = 1


controls = SimpleNamespace(AfModeEnum=AfModeEnum, draft=SimpleNamespace(NoiseReductionModeEnum=NoiseReductionModeEnum))
