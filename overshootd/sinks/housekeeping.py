"""The spool is kept within its bounds: what is too much or too old is dropped, which is told and counted, and a file
that is nearly empty is made small. Runs in the disk's thread."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from overshootd.condition import Condition
from overshootd.contracts import Log
from overshootd.sinks.bounds import SLACK, Ages, Bounds, any_before, count_dropped, drop_oldest, used
from overshootd.sinks.database import Connection, DatabaseError, is_full, transaction, vacuum
from overshootd.sinks.places import oldest_owed
from overshootd.status import SpoolNow

ROUNDS = 16
"""Batches that are dropped in one go, 3.4 ms each on a PC: whoever appends waits for them."""

QUIET_SECONDS = 600.0
"""Nothing was dropped for so long: the spool holds again what it is given."""

FREE_BYTES = 16_000_000
LEFT_BYTES = 2_000_000
"""A file with so much free is made anew when no more than this is left in it: that is what making it anew writes, and
what it takes of memory."""


class Housekeeping:
    """All methods raise DatabaseError."""

    def __init__(self, bounds: Bounds, log: Log) -> None:
        self._bounds = bounds
        self._ages = Ages()
        self._keeps = Condition(log, "keeping every record", time.monotonic)
        self._shrinks = Condition(log, "making the spool's file small", time.monotonic)
        self._dropped_at = 0.0  # monotonic
        self.gone: dict[int, int] = {}
        """Up to which seq a stream has no records, by its number."""
        self.now = SpoolNow(0, bounds.max_bytes)
        """As of the last `make_room` or `tend`."""

    def begin(self, dropped: int) -> None:
        """A database was opened, out of which so many were dropped before."""
        self.gone.clear()
        self.doubt()
        self.now = replace(self.now, dropped=dropped)

    def doubt(self) -> None:
        """What was done last may not have been."""
        self._ages.clear()

    def make_room(self, connection: Connection) -> None:
        """Before something is written: drop the oldest while more is there than may be."""
        most = self._bounds.max_bytes
        size = 0
        for _ in range(ROUNDS):
            if (size := used(connection)[0]) <= most:
                break
            with transaction(connection):
                gone, lacked = drop_oldest(connection, self._ages, size=size - most + SLACK * most)
                count_dropped(connection, lacked)
            why = f"{most / 1e6:g} MB wait in the spool (spool.max_mb): the oldest are dropped undelivered"
            self._dropped(gone, lacked, why)
            if not gone:
                break  # what is left are the tables
        self.now = replace(self.now, bytes=size)

    def tend(self, connection: Connection, wall: float | None) -> bool:
        """Drop what is too old, `wall` being seconds since the epoch (None while the clock is not trusted: one that
        begins at 1970, or leaps to today, must drop nothing), and make a file small that is nearly empty. Nothing is
        written where neither is. True when there is more to drop: others may have the disk first."""
        more = wall is not None and self._drop_before(connection, wall - self._bounds.max_seconds)
        if time.monotonic() - self._dropped_at > QUIET_SECONDS:
            self._keeps.good()
        left, free = used(connection)
        if free >= FREE_BYTES and left <= LEFT_BYTES:
            self._shrink(connection)
        self.now = replace(self.now, bytes=left, oldest_at=oldest_owed(connection))
        return more

    def _drop_before(self, connection: Connection, at: float) -> bool:
        """Whether there may be more."""
        for _ in range(ROUNDS):
            if not any_before(connection, self._ages, at):
                return False
            with transaction(connection):
                gone, lacked = drop_oldest(connection, self._ages, before=at)
                count_dropped(connection, lacked)
            days = self._bounds.max_seconds / 86400
            self._dropped(gone, lacked, f"some are older than {days:g} days (spool.max_days) and dropped undelivered")
        return True

    def _dropped(self, gone: Mapping[int, int], lacked: int, why: str) -> None:
        self.gone.update(gone)
        if lacked:
            self._dropped_at = time.monotonic()
            self.now = replace(self.now, dropped=self.now.dropped + lacked)
            self._keeps.bad(why, dropped=self.now.dropped)

    def _shrink(self, connection: Connection) -> None:
        """A disk without room for that has none for something that it can do without: the spool works all the same."""
        try:
            vacuum(connection)
        except DatabaseError as error:
            if not is_full(error):
                raise
            self._shrinks.bad("no space left on the disk for it")
        else:
            self._shrinks.good()
