"""The spool's database file: made, opened, used, and set aside when it cannot be used. Runs in the disk's thread.

Only this module meets SQLite's errors; to everybody else they are SpoolError.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from overshootd.contracts import Log
from overshootd.errors import ConfigError, SpoolError
from overshootd.sinks.aside import KEPT, being_made, delete_surplus, first_number, log_of, next_of, put_in_place
from overshootd.sinks.paths import FILE_MODE, cannot_write, is_hopeless, make_directories
from overshootd.sinks.tables import NAMES, TABLES, UPGRADES, VERSION
from overshootd.sinks.wal import Survey, survey


class Connection(sqlite3.Connection):
    """`hot` is the schema that has the small tables as they are now: another than `main` while there is a stage."""

    hot = "main"

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as error:  # of SQLite's own message, which names what is garbled
            raise sqlite3.DatabaseError(f"the tables cannot be read: {error}") from error


DatabaseError = sqlite3.Error

Salvage = Callable[[Connection, Connection, int], int]
"""Puts into the second database what can be read in the first, which is damaged, so that its streams go on beyond a
`seq`. Returns how many records."""

PAGE_SIZE = 512
"""Bytes. A commit writes every page that it touched, so the smallest page writes least. For a 686-byte record it is
2.6 kB with 512-byte pages, 4.6 with 1024, 5.7 with 2048, 7.7 with 4096 and 12.3 with 8192; 512 is also the fastest.
Measured as `wchar` of /proc/self/io over 2,000 appends with their checkpoints, the cursor moved every 10 records and
256 deleted at a time."""

LOCK_SECONDS = 2.0
"""How long somebody who looks into it (a `sqlite3` shell) may keep the lock; of daemons there is one (statelock.py)."""

PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_INTERRUPT,
    }
)
"""Primary codes of what is no fault of a file."""

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
    # There may be no directory for temporary files that can be written to; only `vacuum` needs any.
    "temp_store = MEMORY",
)


class Database:
    """Opened at the first use. A broken file is replaced by one with what can be read in it, then and there; the next
    use goes on with that.

    `begin` is called with each newly opened connection, before anything else.
    """

    def __init__(self, path: Path, begin: Callable[[Connection], None], salvage: Salvage, log: Log) -> None:
        self._path = path
        self._begin = begin
        self._salvage = salvage
        self._log = log
        self._connection: Connection | None = None
        self._begun = False

    def open(self) -> None:
        """Raises ConfigError when a person must act, SpoolError when it may pass."""
        try:
            with self.use():
                pass
        except SpoolError as error:
            if isinstance(error.__cause__, OSError) and is_hopeless(error.__cause__):
                raise ConfigError(str(error)) from error
            raise

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """What SQLite and the system raise inside becomes SpoolError."""
        try:
            yield self._opened()
        except sqlite3.ProgrammingError:
            raise  # ours
        except sqlite3.Error as error:
            if self._connection is not None and is_broken(error):
                self._drop(self._connection, error)
            raise SpoolError(f"{self._path}: {explain(error)}") from error
        except OSError as error:
            raise SpoolError(cannot_write(self._path, error, "state_dir")) from error

    def sync(self) -> None:
        """Bring to the disk what was committed. Raises OSError."""
        # SQLite locks the database but never its write-ahead log; closing a second descriptor of that drops no lock.
        descriptor = os.open(log_of(self._path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def survey(self) -> Survey:
        """Of the write-ahead log, for `begin`: before anything is written to it. Raises OSError."""
        try:
            with log_of(self._path).open("rb") as log:
                return survey(log)
        except FileNotFoundError:
            return Survey(0, 0)

    def close(self) -> None:
        """A checkpoint brings everything to the disk. Raises sqlite3.Error."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _opened(self) -> Connection:
        try:
            return self._open()
        except sqlite3.Error as error:
            if self._connection is None or not is_broken(error):
                raise
            self._drop(self._connection, error)
            return self._open()

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection, self._begun = open_database(self._path, self._salvage, self._log), False
        if not self._begun:
            self._begin(self._connection)
            self._begun = True
        return self._connection

    def _drop(self, connection: Connection, why: sqlite3.Error) -> None:
        self._connection = None
        connection.close()
        try:
            _replace(self._path, why, self._salvage, self._log)
        except (OSError, sqlite3.Error) as error:
            self._log.error(f"{self._path}: {why}; and it could not be replaced: {error}")

    @property
    def is_open(self) -> bool:
        return self._connection is not None


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back when the disk is full
            connection.execute("ROLLBACK")
        raise


def vacuum(connection: Connection) -> None:
    """Make the file as small as what it holds. That is written twice, into the log and into the file."""
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class _Unusable(Exception):
    """The file is no spool, or of a newer version."""


def open_database(path: Path, salvage: Salvage, log: Log) -> Connection:
    """The database at `path`; a new one when there is none, or none that can be used.

    Raises OSError and sqlite3.Error (in use by another process, disk full …).
    """
    make_directories(path.parent)
    if next_of(path).exists():
        put_in_place(path)  # the power went when it was about to be
    if path.exists():
        try:
            return _connect(path)
        except (_Unusable, sqlite3.Error) as error:
            if isinstance(error, sqlite3.Error) and not is_broken(error):
                raise
            _replace(path, error, salvage, log)
    else:
        _make(path, first_number(path), None)
        put_in_place(path)
    return _connect(path)


def _connect(path: Path) -> Connection:
    connection = _open(path)
    try:
        _upgrade(connection)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path) -> Connection:
    """To a file that is there. Raises sqlite3.Error."""
    return sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None, factory=Connection)


def _open(path: Path) -> Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))  # says more than SQLite's "unable to open database file"
    connection = connect(path)
    try:
        for setting in SETTINGS:
            connection.execute(f"PRAGMA {setting}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _upgrade(connection: Connection) -> None:
    """Raises _Unusable when these are not a spool's tables, or a newer one's."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise _Unusable(f"made by a newer overshootd (spool version {version}, this one knows {VERSION})")
    for former in range(version, VERSION):
        if former not in UPGRADES:
            raise _Unusable("not a spool")
        connection.executescript(f"BEGIN IMMEDIATE; {UPGRADES[former]} PRAGMA user_version = {former + 1}; COMMIT")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables >= NAMES:
        raise _Unusable("not a spool")


def _replace(path: Path, why: Exception, salvage: Salvage, log: Log) -> None:
    """By one with what can be read in it, if it is a spool of ours. Raises OSError, sqlite3.Error."""
    first = first_number(path)
    found = "a new spool is begun"
    try:
        if isinstance(why, sqlite3.Error):
            with closing(_open(path)) as damaged:
                count = _make(path, first, lambda new: salvage(damaged, new, first))
            found = f"a new spool is begun with the {count} records that could be read in it"
    except sqlite3.Error as error:
        found = f"a new spool is begun without its records: {error}"
    if not next_of(path).exists():
        _make(path, first, None)
    log.error(f"{path}: {why}: set aside as {put_in_place(path)}, {found}")
    for aside in delete_surplus(path):
        log.warning(f"{aside} is deleted: of spools that were set aside the newest {KEPT} are kept")


def _make(path: Path, first: int, fill: Callable[[Connection], int] | None) -> int:
    """`next_of` this path: built beside and renamed, so that it is complete. Returns what `fill` does.

    Raises OSError, sqlite3.Error.
    """
    new = being_made(path)
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, FILE_MODE))
    with closing(sqlite3.connect(new, isolation_level=None, factory=Connection)) as connection:
        for setting in (f"page_size = {PAGE_SIZE}", "journal_mode = OFF", "synchronous = OFF"):
            connection.execute(f"PRAGMA {setting}").fetchall()
        begin = f"INSERT INTO store (boot, seed) VALUES ('', {first}); PRAGMA user_version = {VERSION}"
        connection.executescript(f"BEGIN; {TABLES} {begin}; COMMIT")
        connection.execute("BEGIN")
        count = fill(connection) if fill is not None else 0
        connection.execute("COMMIT")
    with new.open("rb") as made:
        os.fsync(made.fileno())
    new.rename(next_of(path))
    return count


def _code(error: sqlite3.Error) -> int:
    """What is no text where text should be is met by Python, which gives no code."""
    if type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError):
        return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)


def is_full(error: sqlite3.Error) -> bool:
    """Whether it says that there is no room."""
    return _code(error) & 0xFF == sqlite3.SQLITE_FULL


def may_pass(error: sqlite3.Error) -> bool:
    """Whether it says nothing about what is in the file: it is locked, or the system's trouble. What cannot be read
    does not pass."""
    return _code(error) & 0xFF in PASSING and _code(error) not in (
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
    )


def is_broken(error: sqlite3.Error) -> bool:
    """Whether it says that the file itself is broken, so that trying again is no use."""
    return _code(error) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def explain(error: sqlite3.Error) -> str:
    """What to do about it, where that is known."""
    match _code(error) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return "no space left on the disk: make room there"
        case sqlite3.SQLITE_BUSY:
            return "in use by another process: as root, `fuser -v` of this file says which"
        case sqlite3.SQLITE_READONLY:
            return "the filesystem has become read-only: look at the disk and the kernel's log"
        case sqlite3.SQLITE_IOERR:
            return f"{error} ({error.sqlite_errorname}): look at the disk and the kernel's log"
        case _:
            return str(error)
