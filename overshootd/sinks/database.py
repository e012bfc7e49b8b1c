"""The spool's database file: made, opened, and set aside when it cannot be used. Runs in the disk's thread."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from overshootd.sinks.paths import FILE_MODE, make_directories, sync_directory

VERSION = 1

SEQ_BITS = 43
"""A row's id is its stream's number, then so many bits of `seq`: one tree, by stream, without an index to write."""

PAGE_SIZE = 512
"""Bytes. A commit writes every page that it changed, so small pages write least."""

LOCK_SECONDS = 2.0
"""How long a predecessor that is about to exit may keep the lock."""

TABLES = """
CREATE TABLE store (boot TEXT NOT NULL, seed INTEGER NOT NULL);
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL);
CREATE TABLE cursors (stream INTEGER, sink TEXT, seq INTEGER NOT NULL, PRIMARY KEY (stream, sink)) WITHOUT ROWID;
CREATE TABLE records (id INTEGER PRIMARY KEY, line BLOB NOT NULL);
"""

SETTINGS = (
    # One process uses the file, so the write-ahead log needs no index in shared memory: one file less is written.
    "locking_mode = EXCLUSIVE",
    # A commit is with the kernel, not on the disk. Checkpoints sync, and so a power cut leaves the file whole.
    "synchronous = NORMAL",
    # Debian's build overwrites what is deleted with zeros: for a queue every byte is then written twice.
    "secure_delete = OFF",
    # 4 MB between checkpoints: most records are delivered and deleted by then and never written a second time.
    f"wal_autocheckpoint = {4_000_000 // PAGE_SIZE}",
    "cache_size = -512",
)


class Unusable(Exception):
    """The file is no spool of ours, or of a newer version."""


def open_database(path: Path, say: Callable[[str], object]) -> sqlite3.Connection:
    """The database at `path`, made when there is none. What cannot be used is renamed, which `say` is told.

    Raises OSError and sqlite3.Error (in use by another process, disk full …).
    """
    make_directories(path.parent)
    if path.exists():
        try:
            return _connect(path)
        except (Unusable, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.Error) and not is_broken(error):
                raise
            say(f"{path}: {error}: set aside as {set_aside(path)}, a new spool is begun")
    _create(path)
    return _connect(path)


def is_broken(error: sqlite3.Error) -> bool:
    """Whether it says that the file itself is broken, so that trying again is no use."""
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def set_aside(path: Path) -> Path:
    """Rename it together with its write-ahead log, so that both can be renamed back."""
    taken = _asides(path)
    aside = next(
        name for n in range(1, len(taken) + 2) if (name := path.with_name(f"{path.name}.aside-{n}")) not in taken
    )
    path.rename(aside)
    if wal(path).exists():
        wal(path).rename(wal(aside))
    sync_directory(path.parent)
    return aside


def wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _asides(path: Path) -> list[Path]:
    return list(path.parent.glob(f"{path.name}.aside-*"))


def _connect(path: Path) -> sqlite3.Connection:
    os.close(
        os.open(path, os.O_RDWR | os.O_CLOEXEC)
    )  # its error says more than SQLite's "unable to open database file"
    database = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    try:
        for setting in SETTINGS:
            database.execute(f"PRAGMA {setting}").fetchall()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise Unusable(f"made by a newer overshootd (spool version {version}, this one knows {VERSION})")
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if version != VERSION or not tables >= {"store", "streams", "cursors", "records"}:
            raise Unusable("not a spool")
        database.execute("PRAGMA journal_mode = WAL").fetchall()
    except BaseException:
        database.close()
        raise
    return database


def _create(path: Path) -> None:
    """Built beside and renamed, so that a file at `path` is always complete.

    `seq` begins at 1, but where a spool was set aside at the milliseconds since 1970: beyond all that it gave out.
    """
    seed = time.time_ns() // 1_000_000 if _asides(path) else 0
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, FILE_MODE))
    with closing(sqlite3.connect(new, isolation_level=None)) as database:
        database.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        database.executescript(
            f"BEGIN; {TABLES} INSERT INTO store VALUES ('', {seed}); PRAGMA user_version = {VERSION}; COMMIT"
        )
    new.rename(path)
    sync_directory(path.parent)
