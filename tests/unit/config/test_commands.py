"""`check` and `schema`, as a shell and as a program see them."""

import base64
import io
import json
import os
from pathlib import Path
from typing import TextIO

from overshootd.config.commands import check, schema
from tests.unit.config.texts import GOOD, KEY, STREAM

BAD = f"{GOOD}  t:\n{STREAM.replace('seconds: 2', 'seconds: 75')}"


DOUBTFUL = f"{GOOD}    transport: {{type: livekit, url: wss://x, token: {{env: T}}, publish_token: {{env: P}}}}\n"
EXPIRED = "head." + base64.urlsafe_b64encode(b'{"exp": 1}').decode() + ".signature"


def run(path: Path, text: str, as_json: bool = False, **environ: str) -> tuple[int, str]:
    path.write_text(text)
    out = io.StringIO()
    return check(path, {**KEY, **environ}, as_json=as_json, out=out), out.getvalue()


def test_a_good_file_is_ok_and_0(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    assert run(path, GOOD + "    enabled: false\n") == (0, f"{path}: ok, 1 stream, 1 of them not enabled\n")


def test_mistakes_are_lines_as_linters_print_them_and_78(tmp_path: Path) -> None:
    code, out = run(tmp_path / "x.yaml", BAD)
    first, last = out.splitlines()
    assert code == 78
    assert first.startswith(f"{tmp_path}/x.yaml:8:36: streams.t.processing.interval_seconds: 75 is too long")
    assert last == "1 mistake; 1 of 2 streams can run"


def test_a_program_gets_an_object(tmp_path: Path) -> None:
    code, out = run(tmp_path / "x.yaml", BAD, as_json=True)
    found = json.loads(out)
    assert (code, found["ok"], found["streams"], found["broken"]) == (78, False, ["s"], ["t"])
    assert found["problems"][0].keys() == {"file", "line", "column", "key", "message"}


def test_a_warning_is_a_line_that_says_so_and_0(tmp_path: Path) -> None:
    code, out = run(tmp_path / "x.yaml", DOUBTFUL, T="no-token", P="no-token")
    where, last = f"{tmp_path}/x.yaml:6:", out.splitlines()[-1]
    assert [line.startswith(where) and ": warning: is no LiveKit" in line for line in out.splitlines()] == [
        True,
        True,
        False,
    ]
    assert (code, last) == (0, f"{tmp_path}/x.yaml: ok, 1 stream, 2 warnings")


def test_a_program_gets_warnings_apart(tmp_path: Path) -> None:
    code, out = run(tmp_path / "x.yaml", DOUBTFUL, as_json=True, T="no-token", P="no-token")
    found = json.loads(out)
    assert (code, found["ok"], found["problems"]) == (0, True, [])
    assert [warning["key"].rpartition(".")[2] for warning in found["warnings"]] == ["token", "publish_token"]


def test_a_token_that_has_expired_by_this_machine_s_clock_is_78(tmp_path: Path) -> None:
    code, out = run(tmp_path / "x.yaml", DOUBTFUL, T=EXPIRED, P=EXPIRED)
    assert code == 78
    assert out.count("expired at 1970-01-01 00:00 UTC\n") == 2
    assert out.splitlines()[-1].startswith("2 mistakes, ")


def closed_pipe() -> TextIO:
    """As after `| true`."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    return os.fdopen(write_end, "w")


def test_nobody_listening_is_no_error_and_the_exit_code_stays(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(BAD)
    with closed_pipe() as out:  # closing flushes once more, as the interpreter does
        assert check(tmp_path / "x.yaml", KEY, as_json=False, out=out) == 78
    with closed_pipe() as out:
        assert schema(out) == 0


def test_schema_prints_json() -> None:
    out = io.StringIO()
    assert schema(out) == 0
    assert json.loads(out.getvalue())["title"] == "overshootd.yaml"
