"""Every mistake is told once, at its place, with what would be right."""

from pathlib import Path

import pytest

from tests.unit.config.texts import CLIP, GOOD, STREAM, Load

KINDS = "test, file, v4l2, picamera2, rtsp, command or argus"
NO_PATH = "a path with a control character in it; remove it"

MISTAKES = [
    ("interval_seconds: 2", "interval_seconds: 75", "75 is too long; the API allows more than 0 and at most 60 seco"),
    ("interval_seconds: 2", "interval_seconds: 0", "0 is too short; the API allows more than 0 and at most 60 seconds"),
    ("interval_seconds: 2", "interval_seconds: .nan", "must be a finite number"),
    ("interval_seconds: 2", "interval_seconds: 1:30", "expected a number of seconds; write 90"),
    ("interval_seconds: 2", 'interval_seconds: "2"', "expected a number of seconds; leave the quotes away"),
    ("interval_seconds: 2", "interval_seconds: true", "expected a number of seconds"),
    ("interval_seconds: 2", "interval: 2", "unknown key; did you mean interval_seconds?"),
    ("interval_seconds: 2", "delay_seconds: 2", "missing: length of a clip in seconds"),
    ("interval_seconds: 2", "interval_seconds: 2, target_fps: 3", "interval_seconds means frame mode"),
    ("{interval_seconds: 2}", "{}", "missing: seconds between two inferences"),
    ("{interval_seconds: 2}", "[2]", "expected a mapping"),
    ('"Who?"', '""', "is empty"),
    ('"Who?"', '"  "', "is empty"),
    ('"Who?"', "7", 'expected text; put it in quotes: "7"'),
    ("model: m", "modl: m", "unknown key; did you mean model?"),
    ("model: m", "model: m, backend: gemin", "gemin is no backend; did you mean gemini?"),
    ("model: m", "model: m, max_output_tokens: 257", "at most 256 here"),
    ("model: m", "model: m, max_output_tokens: 1.5", "expected a whole number"),
    ("model: m", "model: m, max_output_tokens: 0", "0 is too small; the API allows at least 1"),
    ("model: m", "model: m, output_schema_json: text", "expected a JSON Schema; JSON is YAML"),
    ("model: m", "model: m, output_schema_json: {type: objct}", "objct is no JSON Schema type; did you mean object?"),
    ("{type: test}", "{type: tset}", "tset is no camera type; did you mean test?"),
    ("{type: test}", "{width: 640}", f"expected a name from `cameras`, or a mapping with a type ({KINDS})"),
    ("{type: test}", "{type: test, width: 641}", "641 is odd; an even number is needed"),
    ("{type: test}", "{type: test, fps: 1000}", "1000 is too large; allowed is more than 0 and at most 240 frames"),
    ("{type: test}", "{type: test, loop: true}", "unknown key; known here: type, width, height, fps, masks, crop"),
    ("{type: test}", "yard", "no camera of this name; there is none under `cameras`"),
    ("{type: test}", "{type: file}", "missing: the video file"),
    ("{type: test}", "{type: file, path: /none/film.mp4}", "/none/film.mp4: no such file"),
    ("{type: test}", "{type: file, path: /}", "/: not a video file, but a directory or a device"),
    ("{type: test}", "{type: file, path: /dev/null}", "/dev/null: not a video file, but a directory or a device"),
    ("{type: test}", r'{type: file, path: "/a\0b"}', NO_PATH),
    ("{type: test}", r'{type: file, path: "/a\nb"}', NO_PATH),
    ("  s:\n", "  s:\n    mode: clip\n", "clip does not fit processing, where interval_seconds means frame mode"),
    ("  s:\n", "  s:\n    mode: frmae\n", "frmae is no mode; did you mean frame?"),
    ("  s:\n", "  s:\n    modus: frame\n", "unknown key; did you mean mode?"),
    ("  s:\n", "  s:\n    prompt: Who?\n", "unknown key here; did you mean inference: {prompt: …}?"),
    ("  s:\n", "  s:\n    key: {env: K}\n", "unknown key here; did you mean api: {key: …}?"),
    ("  s:\n", "  s:\n    enabled: yes\n", "expected true or false; write true"),
    ("  s:\n", "  s:\n    enabled: off\n", "expected true or false; write false"),
    ("  s:\n", "  s:\n    labels: {site: 12}\n", 'expected text; put it in quotes: "12"'),
    ("  s:\n", "  s:\n    sinks: {type: file}\n", "expected a list (lines that begin with '- ')"),
    ("  s:\n", "  s:\n    sinks: [{type: file}]\n", "missing: the file"),
    ("  s:\n", "  s:\n    sinks: [{path: /x}]\n", "expected a mapping with a type (file, mqtt, webhook or stdout)"),
    ("  s:\n", "  s:\n    sinks: [{type: file, path: /}]\n", "/ is a directory; expected a file"),
    ("  s:\n", "  s:\n    sinks: [{type: file, path: '/{steam}'}]\n", "{steam} is not filled in; did you mean {stream"),
    ("  s:\n", "  s:\n    sinks: [{type: file, path: /x, sync_seconds: 0.1}]\n", "at least 0.5 and at most 60 seconds"),
    ("  s:\n", "  s:\n    sinks: [&x {type: file, path: /x}, *x]\n", "this stream writes /x already"),
    ("  s:\n", '  s:\n    sinks: [{type: file, path: "/x/a\\0b"}]\n', NO_PATH),
    ("  s:\n", '  s:\n    sinks: [{type: file, path: "/x/a\\x9bb"}]\n', NO_PATH),
    ("  s:\n", '  s:\n    api: {key: {file: "/x/a\\0b"}}\n', NO_PATH),
    ("streams:\n", 'api: {key: {file: "/x/a\\0b"}}\nstreams:\n', NO_PATH),
    ("streams:\n", 'state_dir: "/x/a\\0b"\nstreams:\n', NO_PATH),
    ("  s:\n", "  s:\n    publish: {size: 1280}\n", "give WIDTHxHEIGHT (even numbers, 16 to 7680), such as"),
    ("  s:\n", "  s:\n    publish: {size: 1280x721}\n", "give WIDTHxHEIGHT"),
    ("  s:\n", "  s:\n    publish: {fps: 0}\n", "allowed is more than 0 and at most 120 frames per second"),
    ("  s:\n", "  s:\n    publish: {codec: h265}\n", "h265 is no codec; did you mean h264?"),
    ("  s:\n", "  a b:\n", "a name is 1 to 63 letters, digits"),
    ("streams:\n", "stream: {}\nstreams:\n", "unknown key; did you mean streams?"),
    ("streams:\n", "version: 2\nstreams:\n", "2 is no version; use 1"),
    ("streams:\n", "version: '1'\nstreams:\n", "expected a number; leave the quotes away"),
    ("streams:\n", "device: {name: a b}\nstreams:\n", "a name is 1 to 63 letters, digits"),
    ("streams:\n", "device: {timezone: Europe/Berln}\nstreams:\n", "time zone"),
    ("streams:\n", "device: {timezone: ../../etc}\nstreams:\n", "time zone"),
    ("streams:\n", "state_dir: 3\nstreams:\n", 'expected text; put it in quotes: "3"'),
    ("streams:\n", "defaults: 3\nstreams:\n", "expected a mapping"),
    ("streams:\n", "defaults: {sinkz: []}\nstreams:\n", "unknown key; did you mean sinks?"),
    ("streams:\n", "cameras: [yard]\nstreams:\n", "expected a mapping: the name of each of the cameras"),
    ("streams:\n", "cameras: {yard: 3}\nstreams:\n", f"expected a mapping with a type ({KINDS})"),
    ("streams:\n", "api: {base_url: ftp://x/v0.2}\nstreams:\n", "expected a URL that begins with https:// or http://"),
    ("streams:\n", "api: {base_url: https://x/v0.3}\nstreams:\n", "does not fit api.version, which is v0.2"),
    ("streams:\n", "api: {base_url: https://x}\nstreams:\n", "it must end in /v0.2"),
    ("streams:\n", "api: {base_url: 'https://x:y/v0.2'}\nstreams:\n", "expected a URL"),
    ("streams:\n", "api: {base_url: 'https://u:p@x/v0.2'}\nstreams:\n", "the API takes the key from api.key"),
    ("streams:\n", "api: {base_url: 'https://x/v0.2?a=b'}\nstreams:\n", "a base URL has no ? and no #"),
    ("streams:\n", "api: {version: 2}\nstreams:\n", "2 is no version; use v0.2"),
    ("streams:\n", "limits: {memory_mb: 100}\nstreams:\n", "too small: one stream takes about 140 MB; give at l"),
    ("streams:\n", "limits: {memory_mb: -1}\nstreams:\n", "-1 is too small; allowed is at least 0"),
    ("streams:\n", "limits: {memory_mb: 0.5}\nstreams:\n", "expected a whole number"),
    ("streams:\n", "limits: {memory: 500}\nstreams:\n", "unknown key; did you mean memory_mb?"),
    ("streams:\n", "limit: {memory_mb: 500}\nstreams:\n", "unknown key; did you mean limits?"),
    ("streams:\n", "limits: 500\nstreams:\n", "expected a mapping"),
    ("streams:\n", "spool: {max_mb: 0}\nstreams:\n", "0 is too small; allowed is at least 1 and at most 1000000 mega"),
    ("streams:\n", "spool: {max_days: 0}\nstreams:\n", "0 is too small; allowed is more than 0 and at most 3650 days"),
    ("streams:\n", "spool: {max: 3}\nstreams:\n", "unknown key; did you mean max_mb?"),
    ("streams:\n", "spol: {}\nstreams:\n", "unknown key; did you mean spool?"),
    ("streams:\n", "broker: {}\nstreams:\n", "unknown key; did you mean brokers?"),
    ("streams:\n", "brokers: [home]\nstreams:\n", "expected a mapping: the name of each of the brokers"),
    ("streams:\n", "mqtt: {}\nstreams:\n", "unknown key; known here: version"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "said"), MISTAKES, ids=[wrong.strip() for _, wrong, _ in MISTAKES])
def test_one_mistake_is_told_once(load_text: Load, right: str, wrong: str, said: str) -> None:
    loaded = load_text(GOOD.replace(right, wrong, 1))
    assert said in "\n".join(map(str, loaded.problems))
    assert len(loaded.problems) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("clip_length_seconds: 61", "61 is too long; the API allows at least 0.1 and at most 60 seconds"),
        ("clip_length_seconds: 0.05", "0.05 is too short; the API allows at least 0.1"),
        (
            "clip_length_seconds: 0.4",
            "2.4 frames; the API needs at least 3: a clip_length_seconds of at least 0.5, or ",
        ),
        ("clip_length_seconds: 1, target_fps: 2", "a target_fps of at least 3"),
        ("clip_length_seconds: 1, target_fps: 31", "31 is too large; the API allows at least 1 and at most 30"),
        ("clip_length_seconds: 1, target_fps: 6.5", "expected a whole number of frames per second"),
        ("clip_length_seconds: 1, fps: 5", "unknown key; did you mean target_fps?"),
        ("clip_length_seconds: 1, sampling_ratio: 0.5", "unknown key; did you mean target_fps?"),
    ],
)
def test_a_clip_keeps_to_the_api_s_rules(load_text: Load, wrong: str, said: str) -> None:
    loaded = load_text(CLIP.replace("clip_length_seconds: 1", wrong))
    assert [said in str(problem) for problem in loaded.problems] == [True]


def test_just_three_frames_a_clip_and_just_128_tokens_a_second_are_enough(load_text: Load) -> None:
    clip = CLIP.replace("clip_length_seconds: 1", "target_fps: 30, clip_length_seconds: 0.1")
    assert load_text(clip.replace("model: m", "model: m, max_output_tokens: 256")).problems == ()


def test_tokens_a_second_are_counted_over_the_delay_of_clips(load_text: Load) -> None:
    loaded = load_text(CLIP.replace("model: m", "model: m, max_output_tokens: 257"))
    assert "257 tokens every 2 s is too much; the API allows 128 a second" in str(loaded.problems[0])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("api: {version: v1beta}\n" + GOOD, "api.version"),
        ("api: {version: v1beta, base_url: https://x/v1beta}\n" + GOOD, "api.version"),
    ],
)
def test_what_is_not_built_yet_is_refused_by_name_and_by_nothing_else(load_text: Load, text: str, key: str) -> None:
    loaded = load_text(text)
    assert [problem.key for problem in loaded.problems] == [key]
    assert "is not built yet; " in loaded.problems[0].message


def test_the_place_is_file_line_and_column_of_the_value(load_text: Load, tmp_path: Path) -> None:
    loaded = load_text("streams:\n  front-door:\n" + STREAM.replace("seconds: 2", "seconds: 75"))
    assert str(loaded.problems[0]) == (
        f"{tmp_path}/overshootd.yaml:4:36: streams.front-door.processing.interval_seconds: "
        "75 is too long; the API allows more than 0 and at most 60 seconds"
    )


def test_seven_different_mistakes_are_all_told_in_the_order_of_the_file(load_text: Load) -> None:
    loaded = load_text(
        """\
version: 1
api:
  base_url: https://api.overshoot.ai/v1
devise: {name: pi}
cameras:
  yard: {type: test, widht: 640}
streams:
  one:
    camera: yrad
    processing: {interval_seconds: 75}
    inference: {model: m, max_output_tokens: many}
  one:
    mode: frame
"""
    )
    assert [(problem.line, problem.key) for problem in loaded.problems] == [
        (3, "api.base_url"),
        (4, "devise"),
        (6, "cameras.yard.widht"),
        (9, "streams.one.camera"),
        (10, "streams.one.processing.interval_seconds"),
        (11, "streams.one.inference.prompt"),
        (11, "streams.one.inference.max_output_tokens"),
        (12, "streams.one"),
    ]


def test_control_characters_of_the_file_do_not_reach_the_terminal(load_text: Load) -> None:
    text = str(load_text(GOOD + '    "a\\nb\\e[2J": 1\n    mode: "\\e[2J"\n').problems)
    assert text.isprintable()
