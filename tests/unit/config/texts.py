"""What the tests of configurations share."""

from collections.abc import Callable

from overshootd.config.load import Loaded

Load = Callable[..., Loaded]
KEY = {"OVERSHOOT_API_KEY": "ovs_test"}

STREAM = """\
    camera: {type: test}
    processing: {interval_seconds: 2}
    inference: {prompt: "Who?", model: m}
"""
GOOD = f"streams:\n  s:\n{STREAM}"
CLIP = GOOD.replace("{interval_seconds: 2}", "{clip_length_seconds: 1, delay_seconds: 2}")
