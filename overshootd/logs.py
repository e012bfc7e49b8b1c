"""Log lines: coloured on a terminal, fields for journald under systemd, key=value elsewhere. All of them redacted by
value."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

import structlog
from logging_journald import JournaldTransport, check_journal_stream

from overshootd.config.secret import Redactor
from overshootd.contracts import Log

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""syslog(3) levels."""

Event = MutableMapping[str, Any]


def open_log(redactor: Redactor, out: TextIO = sys.stderr) -> Log:
    """The root logger of the process. Libraries' own warnings come out of it too, under `logger`."""
    if check_journal_stream():
        log = _wrap(Journal(), [_redact(redactor), journal_fields])
    else:
        renderer: Any = (
            structlog.dev.ConsoleRenderer()
            if out.isatty()
            else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False)
        )
        stamp = structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S", utc=False)
        log = _wrap(_Printed(out), [stamp, _redact(redactor), renderer])
    _adopt_libraries(log)
    return log


class _Printed:
    """Lines on a terminal, in a pipe or a file. A reader that is gone or a full disk must not stop a camera."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def msg(self, line: str) -> None:
        with suppress(OSError):
            print(line, file=self._out, flush=True)

    debug = info = warning = error = critical = msg


def _wrap(logger: Any, last: list[Any]) -> Log:
    processors = [structlog.processors.add_log_level, structlog.processors.format_exc_info, *last]
    wrapper = structlog.make_filtering_bound_logger(logging.INFO)
    return cast(Log, structlog.wrap_logger(logger, processors=processors, wrapper_class=wrapper))


def _redact(redactor: Redactor) -> Any:
    def processor(_logger: Any, _method: str, event: Event) -> Event:
        return {key: redactor.redact(value if isinstance(value, str) else str(value)) for key, value in event.items()}

    return processor


def journal_fields(_logger: Any, _method: str, event: Event) -> tuple[tuple[Mapping[str, Any]], dict[str, Any]]:
    """journald's fields: MESSAGE, PRIORITY, and OVERSHOOT_ before the name of each piece of context
    (field-notes.md)."""
    context = dict(event)
    message, level = context.pop("event"), context.pop("level")
    shown = " ".join(f"{key}={value}" for key, value in context.items() if key != "exception")
    fields = {
        "MESSAGE": f"{message} {shown}".strip(),
        "PRIORITY": PRIORITIES.get(level, 6),
        "SYSLOG_IDENTIFIER": "overshootd",
        **{f"OVERSHOOT_{key.upper()}": value for key, value in context.items()},
    }
    return ((fields,), {})


class Journal:
    """Sends one datagram an event by journald's native protocol."""

    def __init__(self, path: Path | None = None) -> None:
        # Addressed at every send: journald may be restarted under a daemon that runs for years.
        self.transport = JournaldTransport(path, connected=False)

    def msg(self, fields: Mapping[str, Any]) -> None:
        try:
            self.transport.send(fields.items())
        except OSError as error:
            # The journal being away must not stop a camera; stderr is what systemd would have read.
            print(fields["MESSAGE"], f"(journald: {error})", file=sys.stderr)

    debug = info = warning = error = critical = msg


def _adopt_libraries(log: Log) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_ToLog(log)]
    root.setLevel(logging.WARNING)
    # The SDK tells its own inner life at every join, leave and retry; what matters of it the streams say, once.
    logging.getLogger("livekit").setLevel(logging.CRITICAL)


class _ToLog(logging.Handler):
    """stdlib logging, which the libraries use, into ours."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        say = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        context = {"exc_info": record.exc_info} if record.exc_info else {}
        say(record.getMessage(), logger=record.name, **context)
