"""The spool's tables: records, the cursor of each sink, and numbers that never repeat. Runs in the disk's thread.

What is written seldom, and why that is enough:

- `seq` costs an append nothing (streams.py). A power cut may take the last records although a sink has seen their
  numbers: therefore the first start in another boot, when there was no orderly end, lets every stream's numbers go on
  far beyond, behind the next full million, and so does one that finds the end of what was written torn.
- Cursors move once in `sync_seconds`, and delivered records are deleted by the hundred.
- Records that come together are one commit.
- With a stage (stage.py) a record is written here only if at a sync of the disk some sink still lacks it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from overshootd.contracts import Log
from overshootd.errors import SpoolError
from overshootd.sinks import stage
from overshootd.sinks.bounds import Bounds
from overshootd.sinks.database import Connection, Database, DatabaseError, may_pass, transaction
from overshootd.sinks.heirs import heirs
from overshootd.sinks.housekeeping import Housekeeping
from overshootd.sinks.places import (
    Place,
    Row,
    Stream,
    owed,
    places,
    put_place,
    put_places,
    put_records,
    rows_of,
)
from overshootd.sinks.progress import Progress
from overshootd.sinks.salvage import salvage
from overshootd.sinks.staging import Staging
from overshootd.sinks.streams import JUMP, Streams
from overshootd.sinks.wal import Survey
from overshootd.status import SpoolNow

T = TypeVar("T")

Make = Callable[[int], bytes]
"""What makes the line of a record of its seq. What cannot be a line raises ValueError, TypeError or RecursionError."""

PURGE_ROWS = 256
"""Delivered records are deleted so many at a time: fewer are not worth a write, more would keep others waiting."""

UNBOUNDED = Bounds(1 << 62, 1e18)


class Store:
    """All methods raise SpoolError.

    `boot` names the running kernel: what was written since it started is there, even if this process was killed. `wall`
    is seconds since the epoch, None while the clock is not trusted. `stage_dir` is a directory on a tmpfs for what is
    new; None: it goes to the disk at once.
    """

    def __init__(
        self,
        path: Path,
        log: Log,
        boot: str,
        bounds: Bounds = UNBOUNDED,
        wall: Callable[[], float | None] = lambda: None,
        stage_dir: Path | None = None,
    ) -> None:
        self._database = Database(path, self._begin, salvage, log)
        self._boot = boot
        staged_at = None if stage_dir is None else stage.stage_path(stage_dir, path)
        self._staging = Staging(staged_at, boot, JUMP // 2, log)
        self._housekeeping = Housekeeping(bounds, log)
        self._wall = wall
        self._log = log
        self._streams = Streams(self._staging, self._database.sync)
        self._places: dict[str, dict[str, Place]] = {}
        self._purged: dict[str, int] = {}

    def open(self) -> None:
        """Raises ConfigError when a person must act, SpoolError when it may pass."""
        self._database.open()

    @property
    def now(self) -> SpoolNow:
        """For whoever asks, in any thread: as of the last append or `tend`."""
        return self._housekeeping.now

    def gone(self, name: str) -> int:
        """Up to this seq the stream has no records: dropped, or never there. For whoever asks, in any thread."""
        stream = self._streams.get(name)
        return 0 if stream is None else self._housekeeping.gone.get(stream.id, 0)

    def attach(self, name: str, sinks: Mapping[str, str]) -> tuple[int, dict[str, Progress]]:
        """These are the stream's sinks now, each with its configuration as JSON. Returns the stream's highest seq, and
        what each sink has.

        A sink that is new goes on where the one stopped whose heir it is (heirs.py), or begins where the slowest of the
        former ones is; those that are no longer named are forgotten.
        """
        with self._use() as connection:
            stream = self._streams.find(connection, name)
            before = places(connection, stream.id)
            start = Progress(min((place.has.floor for place in before.values()), default=0))
            was = {sink: sink for sink in before} | heirs(before, sinks)
            now = {
                sink: Place(before[was[sink]].has if sink in was else start, config) for sink, config in sinks.items()
            }
            if now != before:
                for sink in before.keys() - {was.get(sink) for sink in now}:
                    if owed(connection, stream, before[sink].has):
                        self._log.warning(
                            f"{sink} is no longer a sink of {name}: what it still lacked, it will not get"
                        )
                self._staging.write(connection, lambda hot: put_places(hot, stream.id, now))
                self._staging.mirror(connection)
            self._places[name] = now
            self._housekeeping.gone[stream.id] = _before_first(connection, stream)
            return stream.head, {sink: place.has for sink, place in now.items()}

    def append_all(self, items: Sequence[tuple[str, Make]]) -> list[int | Exception]:
        """Store what each `make` makes of its stream's next seq, all of them or, when it raises, none, and return that.
        What a `make` raised is returned in place of the seq; that one is not stored."""
        with self._use() as connection:
            if self._staging.is_full(connection):
                self._unstage(connection, None)
            if not self._staging.is_on(connection):
                self._housekeeping.make_room(connection)
            streams = {name: self._streams.find(connection, name) for name, _ in items}
            heads = {name: stream.head for name, stream in streams.items()}
            done: list[int | Exception] = []
            rows: list[Row] = []
            at = self._wall()
            for name, make in items:
                try:
                    line = make(heads[name] + 1)
                except (ValueError, TypeError, RecursionError) as error:
                    done.append(error)
                    continue
                heads[name] += 1
                done.append(heads[name])
                rows.append((streams[name].row(heads[name]), None if at is None else int(at), line))
            self._staging.write(connection, lambda _: put_records(connection, rows))
            self._staging.came(rows)
            for name, stream in streams.items():
                stream.head = heads[name]
            return done

    def read(self, name: str, after: int, upto: int | None, rows: int, size: int) -> list[tuple[int, bytes]]:
        """The first records after seq `after`, up to and with `upto` (None: all): at most `rows`, and at most `size`
        bytes unless it is a single one. Each is its seq and its line."""
        found: list[tuple[int, bytes]] = []
        with self._use() as connection:
            stream = self._streams.find(connection, name)
            last = stream.row(stream.head if upto is None else min(upto, stream.head))
            query = "SELECT id, line FROM records WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
            cursor = connection.execute(query, (stream.row(after), last, rows))
            for row, line in cursor:
                size -= len(line)
                if size < 0 and found:
                    break
                found.append((row - stream.row(0), line))
            cursor.close()  # an open read would keep the write-ahead log from starting over
        return found

    def ack(self, name: str, sink: str, has: Progress) -> None:
        """The sink, one of those that were attached, has so much."""
        with self._use() as connection:
            place = self._places[name][sink]
            if has != place.has:
                place = replace(place, has=has)
                id = self._streams.find(connection, name).id
                self._staging.write(connection, lambda hot: put_place(hot, id, sink, place))
                self._places[name][sink] = place

    def purge(self, name: str) -> bool:
        """Delete some of what all sinks have, if that is worth a write. True when there is more."""
        with self._use() as connection:
            stream = self._streams.find(connection, name)
            sinks = [place.has for place in self._places.get(name, {}).values()]
            self._staging.drop_delivered(connection, stream, sinks)
            bound = min((has.floor for has in sinks), default=stream.head)
            if bound - self._purged.get(name, 0) < PURGE_ROWS:
                return False
            if _purge(connection, stream, bound) == PURGE_ROWS:
                return True
            self._purged[name] = bound
            return False

    def strangers(self, known: Collection[str], named: Collection[str]) -> dict[str, dict[str, str]]:
        """The streams that are not `known` and still have something to deliver: by stream, all its sinks, each with its
        configuration as JSON (empty where a spool of version 1 kept none). Those that are not even `named` and lack
        nothing are forgotten."""
        found: dict[str, dict[str, str]] = {}
        with self._use() as connection:
            for name in self._streams.all(connection):
                if name in known:
                    continue
                stream = self._streams.find(connection, name)
                sinks = places(connection, stream.id)
                if any(owed(connection, stream, place.has) for place in sinks.values()):
                    found[name] = {sink: place.config for sink, place in sinks.items()}
                elif sinks and name not in named:
                    self._forget(connection, name)
        return found

    def forget(self, name: str) -> None:
        """The stream is gone: drop its records and cursors. Its numbers are remembered, should it come back."""
        with self._use() as connection:
            self._forget(connection, name)

    def within(self, function: Callable[[Connection], T]) -> T:
        """What `function` returns, done in one transaction: all of it or, when it raises, nothing."""
        with self._use() as connection:
            return self._staging.write(connection, function)

    def tend(self) -> bool:
        """Drop what is too old, and make a file small that is nearly empty. Nothing is written where neither is. True
        when there is more to drop: others may have the disk first."""
        with self._use() as connection:
            return self._housekeeping.tend(connection, self._wall())

    def sync(self, heads: Mapping[str, int] | None = None) -> None:
        """Bring to the disk what was committed; of what is staged what some sink lacks, up to each stream's seq in
        `heads` (None: all)."""
        with self._use() as connection:
            if self._staging.is_on(connection):
                self._unstage(connection, heads)
            self._database.sync()
            self._staging.begin_if_due(connection)

    def close(self) -> None:
        """End in order: what is there is brought to the disk, and the next start knows that nothing is missing."""
        if not self._database.is_open:
            return
        with self._use() as connection:
            self._staging.leave(connection)
            connection.execute("UPDATE store SET boot = ''")
            self._database.close()

    def _unstage(self, connection: Connection, heads: Mapping[str, int] | None) -> None:
        """Bring to the spool what is staged up to `heads` and some sink lacks."""
        rows = []
        for name in self._streams.all(connection):
            stream = self._streams.find(connection, name)
            if name in self._places:
                sinks = [place.has for place in self._places[name].values()]
                self._staging.drop_delivered(connection, stream, sinks)
            rows.append((stream.row(0), stream.row(stream.head if heads is None else heads.get(name, 0))))
        if not self._staging.is_on(connection):
            return
        if stage.holds(connection, rows):
            self._housekeeping.make_room(connection)
            self._staging.bring(connection, rows)
        else:
            self._staging.mirror_if_due(connection)

    def _forget(self, connection: Connection, name: str) -> None:
        stream = self._streams.find(connection, name)
        # One after the other: a kill in between undoes both.
        with transaction(connection):
            _forget(connection, "main", stream)
        self._staging.write(connection, lambda hot: _forget(hot, hot.hot, stream))
        self._places.pop(name, None)

    @contextmanager
    def _use(self) -> Iterator[Connection]:
        try:
            with self._database.use() as connection:
                try:
                    yield connection
                except DatabaseError as error:
                    if not may_pass(error) and self._staging.is_broken(connection):
                        self._database.close()  # the next use begins without it; the spool's file is not to blame
                    raise
        except SpoolError:
            self._housekeeping.doubt()
            self._streams.doubt()
            raise

    def _begin(self, connection: Connection) -> None:
        was, seed, dropped = connection.execute("SELECT boot, seed, dropped FROM store").fetchone()
        boot, _, place = was.partition("@")
        self._housekeeping.begin(dropped)
        self._streams.doubt()
        end = self._database.survey() if boot else Survey(0, 0)
        cut = end.cut if boot != self._boot or end.lost else 0
        found = self._staging.take_over(connection, place if boot == self._boot else "", seed)
        if cut:
            self._log.warning(f"the end of the spool was torn: {cut} bytes were not whole and are cut off")
        if boot and (boot != self._boot or not found or cut):
            self._streams.jump(connection)
        self._put_known(connection)
        if was != self._boot:
            connection.execute("UPDATE store SET boot = ?", (self._boot,))
        self._database.sync()
        self._staging.begin(connection)  # nothing that may fail comes behind it: a second try would meet our own lock

    def _put_known(self, connection: Connection) -> None:
        """What sinks have, this process knows, whatever became of the file or the stage that had it."""
        for name, sinks in self._places.items():
            stream = self._streams.find(connection, name)
            there = places(connection, stream.id)
            known = {
                sink: replace(place, has=place.has.joined(there[sink].has) if sink in there else place.has)
                for sink, place in sinks.items()
            }
            if known != there:
                with transaction(connection):
                    put_places(connection, stream.id, known)


def _forget(connection: Connection, schema: str, stream: Stream) -> None:
    connection.execute(f"UPDATE {schema}.streams SET seq = max(seq, ?) WHERE id = ?", (stream.head, stream.id))
    connection.execute(f"DELETE FROM {schema}.cursors WHERE stream = ?", (stream.id,))
    connection.execute(f"DELETE FROM {schema}.records WHERE id BETWEEN ? AND ?", rows_of(stream.id))


def _before_first(connection: Connection, stream: Stream) -> int:
    """The seq before the stream's first record; without any its highest."""
    first = connection.execute(
        "SELECT id FROM records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1", rows_of(stream.id)
    ).fetchone()
    return stream.head if first is None else int(first[0]) - stream.row(0) - 1


def _purge(connection: Connection, stream: Stream, bound: int) -> int:
    """How many rows were deleted."""
    some = "SELECT id FROM main.records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
    rows = (stream.row(0), stream.row(bound), PURGE_ROWS)
    if not connection.execute(some, (*rows[:2], 1)).fetchone():
        return 0
    with transaction(connection):
        connection.execute("UPDATE main.streams SET seq = max(seq, ?) WHERE id = ?", (bound, stream.id))
        return connection.execute(f"DELETE FROM main.records WHERE id IN ({some})", rows).rowcount
