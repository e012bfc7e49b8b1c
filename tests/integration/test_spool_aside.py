"""Of spools that were set aside the newest are kept, and no number is given out twice because of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from overshootd.sinks.aside import KEPT, log_of
from overshootd.sinks.spool import FILE_NAME
from overshootd.sinks.store import Store
from tests.integration.sink_lab import store_one
from tests.remembering import RememberingLog


def numbers(directory: Path, log: RememberingLog) -> list[int]:
    """The seqs of two records, stored in what is there."""
    store = Store(directory / FILE_NAME, log, "boot")
    store.open()
    seqs = [store_one(store, "yard", lambda seq: b"%d" % seq) for _ in range(2)]
    store.close()
    return seqs


def break_all(directory: Path, rounds: Sequence[int], log: RememberingLog) -> list[int]:
    """Have a spool set aside in each round, whose content is its number. All seqs that were given out."""
    seqs = numbers(directory, log)
    for number in rounds:
        (directory / FILE_NAME).write_bytes(b"%d" % number)
        seqs += numbers(directory, log)
    return seqs


def asides(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.glob(f"{FILE_NAME}.aside-*")}


def test_the_newest_are_kept_and_the_log_names_what_goes(tmp_path: Path) -> None:
    log = RememberingLog()
    break_all(tmp_path, range(1, KEPT + 3), log)
    assert asides(tmp_path) == {f"{FILE_NAME}.aside-{number}": b"%d" % number for number in (3, 4, 5)}
    deleted = [line.split()[0] for line in log.lines if "is deleted" in line]
    assert deleted == [str(tmp_path / f"{FILE_NAME}.aside-{number}") for number in (1, 2)]


def test_the_write_ahead_log_goes_with_its_file(tmp_path: Path) -> None:
    for number in range(1, KEPT + 1):
        log_of(tmp_path / f"{FILE_NAME}.aside-{number}").write_bytes(b"")
    (tmp_path / f"{FILE_NAME}.aside-1").write_bytes(b"")
    break_all(tmp_path, [4], RememberingLog())
    assert sorted(asides(tmp_path)) == [f"{FILE_NAME}.aside-{name}" for name in ("2-wal", "3-wal", "4")]


def test_what_somebody_named_otherwise_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / f"{FILE_NAME}.aside-1.bak").write_bytes(b"mine")
    break_all(tmp_path, range(1, KEPT + 3), RememberingLog())
    assert asides(tmp_path)[f"{FILE_NAME}.aside-1.bak"] == b"mine"


def test_no_number_comes_twice_when_a_spool_of_a_clock_that_was_ahead_is_deleted(tmp_path: Path) -> None:
    log = RememberingLog()
    seqs = break_all(tmp_path, [1], log)
    os.utime(tmp_path / f"{FILE_NAME}.aside-1", (4e9, 4e9))
    seqs += break_all(tmp_path, range(2, 2 * KEPT + 2), log)
    assert seqs == sorted(set(seqs))
    assert seqs[-1] > 4e12
