"""The tables of the spool's database, and how those of a former version become these."""

from __future__ import annotations

VERSION = 3

SEQ_BITS = 43
"""A row's id is its stream's number, then so many bits of its `seq`: one tree, by stream, without an index to write."""

TABLES = """
CREATE TABLE store (boot TEXT NOT NULL, seed INTEGER NOT NULL, dropped INTEGER NOT NULL DEFAULT 0);
CREATE TABLE streams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL);
CREATE TABLE cursors (stream INTEGER, sink TEXT, seq INTEGER NOT NULL, spans TEXT NOT NULL DEFAULT '',
  config TEXT NOT NULL DEFAULT '', PRIMARY KEY (stream, sink)) WITHOUT ROWID;
CREATE TABLE records (id INTEGER PRIMARY KEY, at INTEGER, line BLOB NOT NULL);
CREATE TABLE counts (day TEXT, stream TEXT, seconds REAL NOT NULL DEFAULT 0, cents REAL NOT NULL DEFAULT 0,
  bytes_up INTEGER NOT NULL DEFAULT 0, bytes_down INTEGER NOT NULL DEFAULT 0, received INTEGER NOT NULL DEFAULT 0,
  due REAL NOT NULL DEFAULT 0, PRIMARY KEY (day, stream)) WITHOUT ROWID;
"""
"""`store`: the boot in which the spool is used, and where it is staged then (stage.py); where the numbers of a new
stream begin; how many records were dropped undelivered. `cursors`: `seq` and `spans` are a `Progress`; `config` is the
sink's configuration as JSON, so that what a removed stream still had to deliver can be delivered. `records.at`: seconds
since the epoch, null while the clock was not trusted; before the line, for what is behind a long line is on another
page."""

NAMES = frozenset({"store", "streams", "cursors", "records", "counts"})

UPGRADES = {
    1: """
ALTER TABLE records ADD COLUMN at INTEGER;
ALTER TABLE cursors ADD COLUMN spans TEXT NOT NULL DEFAULT '';
ALTER TABLE cursors ADD COLUMN config TEXT NOT NULL DEFAULT '';
"""
    + TABLES[TABLES.index("CREATE TABLE counts") :],
    2: "ALTER TABLE store ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;",
}
"""From each version to the next. A column that is added rewrites no row, so a backlog of any size takes no time; it
comes last then, and so statements name their columns."""
