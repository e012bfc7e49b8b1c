"""Log lines: what a reader sees, and what nobody may see."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import socket
from pathlib import Path

from overshootd.condition import Condition
from overshootd.config.secret import Redactor, Secret
from overshootd.logs import Journal, journal_fields, open_log

KEY = Secret("ovs_very-secret")


def test_a_secret_is_masked_in_events_context_and_tracebacks() -> None:
    out = io.StringIO()
    log = open_log(Redactor([KEY]), out)
    log.bind(url=f"rtsp://u:{KEY.reveal()}@cam").warning(f"the key {KEY.reveal()} was refused")
    try:
        raise ValueError(KEY.reveal())
    except ValueError as error:
        log.error("failed", exc_info=error)
    assert KEY.reveal() not in out.getvalue()
    assert "ValueError: ***" in out.getvalue()


def test_what_libraries_warn_of_is_redacted_too() -> None:
    out = io.StringIO()
    open_log(Redactor([KEY]), out)
    logging.getLogger("some.library").warning("retrying with %s", KEY.reveal())
    assert 'event="retrying with ***"' in out.getvalue()
    assert "logger=some.library" in out.getvalue()


def test_journald_gets_the_context_as_fields(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(str(path))
        (fields,), _ = journal_fields(
            None, "", {"event": "live", "level": "warning", "stream": "door", "stream_id": "7"}
        )
        journal = Journal(path)
        with contextlib.closing(journal.transport.socket):
            journal.msg(fields)
        sent = journald.recv(65536).decode().splitlines()
    assert {"MESSAGE=live stream=door stream_id=7", "PRIORITY=4", "OVERSHOOT_STREAM=door"} <= set(sent)


class Told:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def bind(self, **context: object) -> Told:
        return self

    def info(self, event: str, **context: object) -> None:
        self.lines.append(f"{event} {json.dumps(context)}")

    debug = warning = error = info


def test_a_condition_is_told_when_it_changes_and_not_at_every_try() -> None:
    told, now = Told(), iter([0.0, 12.5])
    condition = Condition(told, "keepalive", lambda: next(now))
    for _ in range(100):
        condition.bad("503")
    for _ in range(100):
        condition.good()
    assert told.lines == ["keepalive: 503 {}", 'keepalive works again {"after_seconds": 12.5}']
