"""Whatever a file holds, loading ends with streams or with mistakes, never with an exception."""

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from overshootd.config.load import Loaded, load
from overshootd.config.model import ClipProcessing, ConfigFile, FileSink, InferenceConfig, PublishConfig, WrittenStream

NAMES = sorted(
    {*ConfigFile.model_fields, *WrittenStream.model_fields, *InferenceConfig.model_fields, *PublishConfig.model_fields}
    | {*ClipProcessing.model_fields, *FileSink.model_fields, "interval_seconds", "key", "env", "name", "base_url"}
)
WORDS = st.sampled_from(
    ["test", "file", "v4l2", "auto", "frame", "clip", "yard", "1280x720", "v0.2", "x-y", "{stream}"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS
KEYS = st.sampled_from(NAMES) | st.text(max_size=4)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


def loaded_from(content: bytes, environ: dict[str, str]) -> Loaded:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.yaml"
        path.write_bytes(content)
        return load(path, environ)


def is_sound(loaded: Loaded) -> bool:
    told = [str(problem) for problem in loaded.problems]
    pydantics = ("Input should", "Value error", "unable to", "pydantic")
    return (
        all(line.isprintable() and not any(words in line for words in pydantics) for line in told)
        and len(set(told)) == len(told)
        and not loaded.streams.keys() & loaded.broken.keys()
        and all(set(problems) <= set(loaded.problems) and problems for problems in loaded.broken.values())
        and (bool(loaded.problems) or loaded.key is not None or not loaded.streams)
    )


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    loaded = loaded_from(content, {})
    assert is_sound(loaded)


@settings(deadline=None)
@given(st.text(alphabet=":-{}[]&*!|>'\"%@`#?, \n\tabx<~1.", max_size=60))
def test_any_text_of_yaml_s_own_characters(text: str) -> None:
    assert is_sound(loaded_from(text.encode(), {}))


@settings(max_examples=300, deadline=None)  # it meets the disk
@given(st.dictionaries(st.sampled_from(sorted(ConfigFile.model_fields)), TREES, max_size=5))
def test_any_tree(tree: dict[str, Any]) -> None:
    assert is_sound(loaded_from(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"), {"K": "x"}))


@settings(max_examples=300, deadline=None)  # it meets the disk
@given(st.dictionaries(st.sampled_from(sorted(WrittenStream.model_fields)), TREES, max_size=5), st.booleans())
def test_any_stream_beside_a_good_one(stream: dict[str, Any], as_default: bool) -> None:
    good = {
        "camera": {"type": "test"},
        "processing": {"interval_seconds": 1},
        "inference": {"prompt": "x", "model": "y"},
    }
    tree = (
        {"streams": {"good": good}, "defaults": stream} if as_default else {"streams": {"good": good, "other": stream}}
    )
    loaded = loaded_from(yaml.safe_dump(tree).encode("utf-8", "replace"), {"OVERSHOOT_API_KEY": "x"})
    assert is_sound(loaded)
    assert as_default or "good" in loaded.streams
