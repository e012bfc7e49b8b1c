"""Nothing is decided by the time of day, which steps when a device without a clock learns it."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "overshootd"

READS = {"time": {"time", "time_ns"}, "datetime": {"now", "utcnow", "today"}, "date": {"today"}}

MAY_READ = {
    "api/v02.py": "when a result was received",
    "controls.py": "when a pause began, for its gap",
    "records.py": "when a state was entered",
    "presence.py": "when a stream switched, for the status",
    "control/facts.py": "now, to tell the status by",
    "sinks/file.py": "names of older files; their age, which a step can only end early",
    "sinks/spool.py": "the age of what waits, once the clock can be trusted",
    "sinks/tally.py": "the day that counts belong to; once the clock can be trusted, days in doubt are settled",
    "sinks/webhook.py": "the signature's timestamp: the specification has it so",
    "sinks/aside.py": "numbers beyond all that a spool set aside gave out",
    "capture/testcam.py": "the capture time in the picture",
    "config/commands.py": "when a token expires: a JWT has it so",
    "publish/choose.py": "the same, for the status",
    "publish/managed.py": "until when a token that is made here is valid",
}
"""Where it is told, and what for."""


def readers() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        text = path.read_text()
        if name.startswith(("simulator", "demo")) or not any(word in text for word in ("time", "date")):
            continue
        if any(map(_reads, ast.walk(ast.parse(text)))):
            yield name


def _reads(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id=owner), attr=attribute):
            return attribute in READS.get(owner, ())
        case ast.ImportFrom(module="time", names=names):
            return any(name.name in READS["time"] for name in names)
    return False


def test_the_time_of_day_is_read_only_where_it_is_told() -> None:
    assert set(readers()) - set(MAY_READ) == set()


def test_reading_it_is_found() -> None:
    found = [_reads(node) for node in ast.walk(ast.parse("import time\ndue = time.time() + 2"))]
    assert any(found)
