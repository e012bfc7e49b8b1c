"""What runs, what is broken, and what comes from where."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from overshootd.config.cameras import FileCamera, TestCamera
from overshootd.config.load import load
from overshootd.config.model import ClipProcessing, FrameProcessing, StreamConfig
from overshootd.config.secret import Secret
from overshootd.config.sinks import FileSink
from tests.unit.config.texts import CLIP, GOOD, KEY, STREAM, Load

BAD = STREAM.replace("seconds: 2", "seconds: 75")


def paths(stream: StreamConfig) -> list[str]:
    return [sink.path for sink in stream.sinks if isinstance(sink, FileSink)]


def test_a_stream_is_filled_in_to_the_last_value(load_text: Load) -> None:
    loaded = load_text(GOOD)
    stream = loaded.streams["s"]
    assert (stream.enabled, stream.mode, stream.camera_name, stream.key) == (True, "frame", None, None)
    assert stream.camera == TestCamera(type="test", width=1280, height=720, fps=30.0)
    assert stream.processing == FrameProcessing(interval_seconds=2.0)
    assert (stream.publish.fps, stream.publish.size, stream.publish.max_kbps, stream.publish.codec) == (None,) * 4
    assert loaded.api.base_url == "https://api.overshoot.ai/v0.2"
    assert loaded.state_dir == Path("/var/lib/overshootd")


def test_mode_follows_from_processing(load_text: Load) -> None:
    stream = load_text(CLIP).streams["s"]
    assert stream.mode == "clip"
    assert stream.processing == ClipProcessing(target_fps=6, clip_length_seconds=1, delay_seconds=2)


def test_what_is_published_may_be_told(load_text: Load) -> None:
    text = GOOD + "    publish: {fps: 2, size: 640x360, max_kbps: auto, codec: vp8}\n"
    publish = load_text(text).streams["s"].publish
    assert (publish.fps, publish.size, publish.max_kbps, publish.codec) == (2.0, (640, 360), None, "vp8")


@pytest.mark.parametrize("transport", ["native", "{type: native}"])
def test_a_bare_word_is_shorthand_for_a_transport(load_text: Load, transport: str) -> None:
    assert load_text(GOOD + f"    transport: {transport}\n").streams["s"].transport.type == "native"


def test_one_camera_may_feed_several_streams(load_text: Load) -> None:
    named = STREAM.replace("{type: test}", "yard")
    loaded = load_text(f"cameras: {{yard: {{type: test, fps: 5}}}}\nstreams:\n  a:\n{named}  b:\n{named}")
    a, b = loaded.streams["a"], loaded.streams["b"]
    assert a.camera == b.camera == TestCamera(type="test", fps=5.0)
    assert a.camera_name == b.camera_name == "yard"


def test_defaults_are_merged_under_every_stream_and_lists_append(load_text: Load) -> None:
    loaded = load_text(
        "defaults:\n  labels: {site: f12, floor: '1'}\n  inference: {model: m}\n  sinks: [{type: file, path: /a}]\n"
        "streams:\n  s:\n    camera: {type: test}\n    processing: {interval_seconds: 2}\n"
        "    inference: {prompt: x}\n    labels: {floor: '2'}\n    sinks: [{type: file, path: /b}]\n"
    )
    stream = loaded.streams["s"]
    assert stream.labels == {"site": "f12", "floor": "2"}
    assert paths(stream) == ["/a", "/b"]
    assert stream.inference.model == "m"


def test_null_takes_a_default_away(load_text: Load) -> None:
    loaded = load_text("defaults: {sinks: [{type: file, path: /a}]}\n" + GOOD + "    sinks:\n")
    assert paths(loaded.streams["s"]) == ["/var/lib/overshootd/results/s.jsonl"]


def test_a_stream_without_a_sink_keeps_its_results_in_the_state_directory(load_text: Load) -> None:
    loaded = load_text("state_dir: /srv/state\n" + GOOD)
    assert paths(loaded.streams["s"]) == ["/srv/state/results/s.jsonl"]


def test_paths_are_filled_in_and_start_where_their_file_is(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").touch()
    text = GOOD.replace("{type: test}", "{type: file, path: film.mp4}")
    sinks = "    sinks: [{type: file, path: '{device}/{stream}.jsonl'}, {type: file, path: /x/y}]\n"
    loaded = load_text("device: {name: pi}\nstate_dir: state\n" + text + sinks)
    stream = loaded.streams["s"]
    assert stream.camera == FileCamera(type="file", path=f"{tmp_path}/film.mp4")
    assert paths(stream) == [f"{tmp_path}/pi/s.jsonl", "/x/y"]
    assert loaded.state_dir == tmp_path / "state"


def test_a_directory_may_be_called_anything(tmp_path: Path) -> None:
    """Only what a path says itself is filled in."""
    directory = tmp_path / "{stream} {x}"
    directory.mkdir()
    (directory / "x.yaml").write_text(
        "state_dir: state\n" + GOOD + "    sinks: [{type: file, path: '{stream}.jsonl'}]\n"
    )
    loaded = load(directory / "x.yaml", KEY)
    assert (loaded.problems, loaded.state_dir) == ((), directory / "state")
    assert paths(loaded.streams["s"]) == [f"{directory}/s.jsonl"]


def test_systemd_names_the_state_directory(load_text: Load) -> None:
    environ = {**KEY, "STATE_DIRECTORY": "/var/lib/private/overshootd:/other"}
    assert load_text(GOOD, environ).state_dir == Path("/var/lib/private/overshootd")


def test_no_stream_at_all_is_fine_and_needs_no_key(load_text: Load) -> None:
    loaded = load_text("version: 1\nstreams:\n", {})
    assert (loaded.problems, loaded.hopeless) == ((), False)


@pytest.mark.parametrize(("limits", "mb"), [("{}", 500), ("", 500), ("{memory_mb: }", 500), ("{memory_mb: 0}", 0)])
def test_memory_has_a_limit_unless_told_otherwise(load_text: Load, limits: str, mb: int) -> None:
    assert load_text(f"limits: {limits}\n{GOOD}").limits.memory_mb == mb


@pytest.mark.parametrize(
    ("spool", "means"), [("", (1000, 30.0)), ("{max_mb: 5}", (5, 30.0)), ("{max_mb: 0}", (1000, 30.0))]
)
def test_what_waits_has_bounds_unless_they_are_wrong(load_text: Load, spool: str, means: tuple[int, float]) -> None:
    bounds = load_text(f"spool: {spool}\n{GOOD}").spool
    assert (bounds.max_mb, bounds.max_days) == means


# -- one bad stream does not stop the others ---------------------------------------------------------------------------


def test_a_broken_stream_leaves_the_others_running(load_text: Load) -> None:
    loaded = load_text(f"streams:\n  good:\n{STREAM}  bad:\n{BAD}")
    assert (set(loaded.streams), set(loaded.broken)) == ({"good"}, {"bad"})
    assert loaded.broken["bad"] == loaded.problems
    assert not loaded.hopeless


def test_when_none_can_run_it_is_hopeless(load_text: Load) -> None:
    assert load_text(f"streams:\n  off:\n    enabled: false\n{STREAM}  bad:\n{BAD}").hopeless


@pytest.mark.parametrize(
    "mistake", ["api: {version: v9}", "device: {name: a b}", "version: 2", "defaults: 3", "defualts: {}", "api: 3"]
)
def test_a_mistake_in_what_all_streams_share_breaks_all(load_text: Load, mistake: str) -> None:
    loaded = load_text(f"{mistake}\n{GOOD}")
    assert (set(loaded.streams), set(loaded.broken), loaded.hopeless) == (set(), {"s"}, True)


def test_a_double_key_deep_in_a_stream_breaks_it(load_text: Load) -> None:
    loaded = load_text(GOOD.replace("interval_seconds: 2", "interval_seconds: 2, interval_seconds: 3"))
    assert (set(loaded.broken), [p.key for p in loaded.problems]) == ({"s"}, ["streams.s.processing.interval_seconds"])


@pytest.mark.parametrize(
    "mistake",
    [
        "cameras: {unused: {type: nonsense}}",
        "brokers: {unused: {url: x}}",
        "nonsense: 1",
        "limits: {memory_mb: 1}",
        "spool: {max_mb: 0}",
    ],
)
def test_a_mistake_that_concerns_no_stream_breaks_none(load_text: Load, mistake: str) -> None:
    loaded = load_text(f"{mistake}\n{GOOD}")
    assert (len(loaded.problems), set(loaded.streams), loaded.hopeless) == (1, {"s"}, False)


def test_a_bad_camera_breaks_the_streams_that_use_it(load_text: Load) -> None:
    text = f"cameras: {{yard: {{type: test, fps: 0}}}}\n{GOOD}  t:\n" + STREAM.replace("{type: test}", "yard")
    loaded = load_text(text)
    assert (set(loaded.streams), [p.key for p in loaded.broken["t"]]) == ({"s"}, ["cameras.yard.fps"])
    assert len(loaded.problems) == 1


def test_a_bad_default_breaks_the_streams_that_take_it_and_is_told_once(load_text: Load) -> None:
    own = STREAM.replace("interval_seconds: 2", "interval_seconds: 3")
    taking = STREAM.replace("    processing: {interval_seconds: 2}\n", "")
    loaded = load_text(
        f"defaults: {{processing: {{interval_seconds: 75}}}}\nstreams:\n  own:\n{own}  a:\n{taking}  b:\n{taking}"
    )
    assert (set(loaded.streams), set(loaded.broken)) == ({"own"}, {"a", "b"})
    assert [problem.key for problem in loaded.problems] == ["defaults.processing.interval_seconds"]


def test_what_defaults_lack_the_stream_lacks(load_text: Load) -> None:
    text = (
        "defaults: {inference: {model: m}}\nstreams:\n  s: {camera: {type: test}, processing: {interval_seconds: 2}}\n"
    )
    assert [(p.line, p.key) for p in load_text(text).problems] == [(3, "streams.s.inference.prompt")]


# -- files -------------------------------------------------------------------------------------------------------------


def test_streams_d_continues_the_maps_without_dotfiles_and_backups(load_text: Load, tmp_path: Path) -> None:
    names = ["b.yaml", "a.yaml", ".c.yaml", "d.yaml~", "e.yml", "#f.yaml", "g.yaml.bak"]
    more = {name: f"streams:\n  {name[:1]}:\n{STREAM}" for name in names}
    more["a.yaml"] = f"cameras: {{x: {{type: test}}}}\nversion: 1\nstreams:\n  a:\n{STREAM}"
    load_text(GOOD.replace("{type: test}", "x"), more=more)
    for place in (tmp_path, tmp_path / "overshootd.yaml"):
        loaded = load(place, KEY)
        assert (set(loaded.streams), loaded.problems) == ({"s", "a", "b"}, ())


def test_a_file_of_another_name_stands_alone(load_text: Load, tmp_path: Path) -> None:
    load_text("", more={"a.yaml": "- broken"})
    (tmp_path / "other.yaml").write_text(GOOD)
    loaded = load(tmp_path / "other.yaml", KEY)
    assert (set(loaded.streams), loaded.problems) == ({"s"}, ())


def test_two_streams_of_one_name_in_two_files_are_both_broken(load_text: Load, tmp_path: Path) -> None:
    loaded = load_text(GOOD, more={"a.yaml": GOOD})
    assert list(map(str, loaded.problems)) == [
        f"{tmp_path}/streams.d/a.yaml:2:3: streams.s: this name is taken already, at {tmp_path}/overshootd.yaml:2; "
        "give it another"
    ]
    assert set(loaded.broken) == {"s"}


def test_a_file_in_streams_d_that_is_no_yaml_breaks_only_itself(load_text: Load) -> None:
    loaded = load_text(GOOD, more={"a.yaml": "a: b: c"})
    assert (len(loaded.problems), set(loaded.streams)) == (1, {"s"})


def test_what_is_common_belongs_in_the_main_file(load_text: Load) -> None:
    loaded = load_text(GOOD, more={"a.yaml": f"api: {{}}\nstreams:\n  t:\n{STREAM}"})
    assert "belongs in overshootd.yaml" in str(loaded.problems)
    assert (set(loaded.streams), set(loaded.broken)) == ({"s"}, {"t"})


def test_a_main_file_that_is_no_yaml_is_the_only_mistake_told(load_text: Load) -> None:
    loaded = load_text("a: b: c", {}, more={"a.yaml": GOOD.replace("{type: test}", "yard")})
    assert (len(loaded.problems), set(loaded.broken), loaded.hopeless) == (1, {"s"}, True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00", "1:1: not UTF-8"),
        (b"a: 1\nb: \xe9\n", "2:4: not UTF-8"),
        (bytes(range(128, 256)), "1:1: not UTF-8"),
        (b"\x7fELF\x00", "1:1: a control character"),
        (b"a: b\n" * 60_000, "1:1: larger than 256 KiB"),
        (None, "1:1: no such file; -c takes a file, or a directory that holds overshootd.yaml"),
    ],
)
def test_what_is_no_text_is_one_clear_message(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "x.yaml").write_bytes(content)
    loaded = load(tmp_path / "x.yaml", KEY)
    assert [str(problem).removeprefix(f"{tmp_path}/x.yaml:").startswith(said) for problem in loaded.problems] == [True]
    assert loaded.hopeless


def test_a_directory_without_overshootd_yaml_is_told(tmp_path: Path) -> None:
    loaded = load(tmp_path, KEY)
    assert str(loaded.problems[0]).startswith(f"{tmp_path}/overshootd.yaml:1:1: no such file; ")


def test_a_directory_where_a_file_is_expected_is_told(tmp_path: Path) -> None:
    (tmp_path / "overshootd.yaml").mkdir()
    assert "a directory, where a file is expected" in str(load(tmp_path, KEY).problems[0])


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK])
@pytest.mark.parametrize("place", ["overshootd.yaml", "streams.d/a.yaml"])
def test_what_is_no_regular_file_is_refused_instead_of_waited_for(
    load_text: Load, tmp_path: Path, kind: int, place: str
) -> None:
    load_text(GOOD, more={"b.yaml": "streams:\n"})
    (tmp_path / place).unlink(missing_ok=True)
    os.mknod(tmp_path / place, kind | 0o600)
    said = [str(problem) for problem in load(tmp_path, KEY).problems]
    assert said == [f"{tmp_path}/{place}:1:1: cannot be read: a pipe, socket or device, not a regular file"]


def test_a_device_is_refused() -> None:
    assert "not a regular file" in str(load(Path("/dev/zero"), KEY).problems)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Root may read everything, so root is nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("place", ["x.yaml", "locked", "locked/x.yaml"])
def test_what_may_not_be_read_is_told(tmp_path: Path, place: str, request: pytest.FixtureRequest) -> None:
    (tmp_path / "x.yaml").touch(0)
    (tmp_path / "locked").mkdir(0)
    request.getfixturevalue("unprivileged")
    assert "may not be read by this user" in str(load(tmp_path / place, KEY).problems[0])


# -- overrides and secrets ---------------------------------------------------------------------------------------------


def test_the_environment_overrides_key_and_base_url(load_text: Load) -> None:
    environ = {**KEY, "OVERSHOOT_BASE_URL": "http://127.0.0.1:8900/v0.2/"}
    loaded = load_text("api: {base_url: https://x/v0.2, key: {file: /none}}\n" + GOOD, environ)
    assert (loaded.api.base_url, loaded.key) == ("http://127.0.0.1:8900/v0.2", Secret("ovs_test"))


def test_a_wrong_base_url_in_the_environment_is_told_as_such(load_text: Load) -> None:
    loaded = load_text(GOOD, {**KEY, "OVERSHOOT_BASE_URL": "http://127.0.0.1:8900"})
    assert str(loaded.problems[0]).startswith("$OVERSHOOT_BASE_URL:1:1: api.base_url: does not fit api.version")
    assert loaded.hopeless


def test_a_stream_may_have_a_key_of_its_own(load_text: Load) -> None:
    text = "api: {key: {env: A}}\n" + GOOD + "    api: {key: {env: B}}\n"
    loaded = load_text(text, {"A": "key-a", "B": "key-b"})
    assert (loaded.key, loaded.streams["s"].key) == (Secret("key-a"), Secret("key-b"))
    assert set(loaded.secrets) == {Secret("key-a"), Secret("key-b")}


def test_a_common_key_is_needed_only_by_streams_without_their_own(load_text: Load) -> None:
    text = GOOD + "    api: {key: {env: B}}\n"
    assert load_text(text, {"B": "key-b"}).problems == ()
    loaded = load_text(f"{text}  t:\n{STREAM}", {"B": "key-b"})
    assert (set(loaded.streams), [p.key for p in loaded.broken["t"]]) == ({"s"}, ["api.key"])


def streams(names: str, more: str = "") -> str:
    return "".join(f"  {name}:\n{STREAM}{more}" for name in names)


def test_a_sixth_stream_on_one_key_is_told_and_the_first_five_run(load_text: Load) -> None:
    loaded = load_text(f"streams:\n{streams('zyxwvutab')}")
    assert list(loaded.streams) == list("zyxwv")
    assert [problem.key for problem in loaded.problems] == [f"streams.{name}" for name in "utab"]
    assert str(loaded.problems[0]).endswith(
        "enabled stream 6 on one API key, and the API allows 5 a key; give it an api.key of its own, or enabled: false"
    )


def test_the_first_five_are_those_of_the_main_file(load_text: Load) -> None:
    more = {"b.yaml": f"streams:\n{streams('b')}", "a.yaml": f"streams:\n{streams('a')}"}
    loaded = load_text(f"streams:\n{streams('wxyz')}", more=more)
    assert set(loaded.broken) == {"b"}


def test_streams_that_are_not_enabled_do_not_count(load_text: Load) -> None:
    off = "    enabled: false\n"
    assert load_text(f"streams:\n{streams('abc', off)}{streams('defgh')}{streams('i', off)}").problems == ()


def test_a_broken_stream_counts_because_it_would_run_once_mended(load_text: Load) -> None:
    assert set(load_text(f"streams:\n  bad:\n{BAD}{streams('abcde')}").broken) == {"bad", "e"}


def test_streams_are_counted_by_the_key_itself_wherever_it_is_kept(load_text: Load) -> None:
    own, same = (f"    api: {{key: {{env: {name}}}}}\n" for name in ("OWN", "SAME"))
    environ = {**KEY, "OWN": "another", "SAME": KEY["OVERSHOOT_API_KEY"]}
    assert load_text(f"streams:\n{streams('abcde')}{streams('fghij', own)}", environ).problems == ()
    assert set(load_text(f"streams:\n{streams('abcde')}{streams('f', same)}", environ).broken) == {"f"}
    unknown = load_text(f"streams:\n{streams('abcdefg', own)}{streams('vwxyz')}", KEY)
    assert {problem.key for problem in unknown.problems} == {f"streams.{name}.api.key.env" for name in "abcdefg"}


def test_a_missing_key_is_told_with_all_the_ways_to_give_one(load_text: Load) -> None:
    said = str(load_text(GOOD, {}).problems[0])
    for way in ("{credential: NAME}", "{file: PATH}", "{env: VARIABLE}", "OVERSHOOT_API_KEY"):
        assert way in said


@pytest.mark.parametrize(
    "written",
    ["ovs_hunter2", "'hunter2'", "12345", "[ovs_hunter2]", "{value: hunter2}", "{ovs_hunter2: x}", "{env: ovs_hunter2}",
     "{credential: sk-hunter2}", "{file: ovs-hunter2}", "{}", "{env: A, file: hunter2}", "{env: [hunter2]}"],
)  # fmt: skip
def test_a_secret_in_the_file_is_refused_without_repeating_it(load_text: Load, written: str) -> None:
    loaded = load_text(f"api:\n  key: {written}\n{GOOD}", {})
    said = "\n".join(map(str, loaded.problems))
    assert len(loaded.problems) == 1
    assert loaded.problems[0].line == 2
    assert "hunter2" not in said
    assert "12345" not in said
