"""The control socket of a daemon: who may open it, what it answers, and that no client holds it up."""

from __future__ import annotations

import asyncio
import fcntl
import grp
import json
import os
import socket
import stat
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from overshootd.config.secret import Redactor, Secret
from overshootd.control.claim import Taken, claimed
from overshootd.control.client import NoAnswer, NoDaemon, ask
from overshootd.control.hangup import LOOK_SECONDS
from overshootd.control.server import CLIENTS, Bounds, Control
from overshootd.control.wire import REQUEST_BYTES, Handler, Json, NotMeant, NotUnderstood, Refusal
from overshootd.errors import Transient
from tests.integration.daemon_bed import eventually
from tests.integration.sink_lab import foreign_directory, remount, small_filesystem, unprivileged
from tests.remembering import RememberingLog

BOUND = 20.0
PATIENT = Bounds()
QUICK = Bounds(request=0.2, answer=0.2, send=0.2)
ECHO = b'{"command": "echo", "word": "hello"}\n'


@pytest.fixture
def log() -> RememberingLog:
    return RememberingLog()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


async def echo(request: Json) -> Json:
    return {"said": request["word"]}


@asynccontextmanager
async def control(
    path: Path, log: RememberingLog, bounds: Bounds = PATIENT, **handlers: Handler
) -> AsyncIterator[Control]:
    """A control socket that listens."""
    before = there(path)
    known: Mapping[str, Handler] = {"echo": echo, **handlers}
    server = Control(path, path.parent, known, log, Redactor([Secret("hunter2")]).redact, bounds=bounds)
    async with asyncio.timeout(BOUND), server:
        await eventually(lambda: there(path) not in (None, before), "it listens")
        yield server


async def told(path: Path, line: bytes, bound: float = BOUND) -> Any:
    """The one line that comes back, after which the daemon hangs up."""
    async with asyncio.timeout(bound):
        reader, writer = await asyncio.open_unix_connection(path, limit=2**24)
        writer.write(line)
        answer = await reader.readline()
        assert await reader.read() == b""
        writer.close()
    return json.loads(answer)


async def asked(path: Path, command: str, words: Json | None = None, seconds: float = BOUND) -> Json:
    """As a command asks."""
    return await asyncio.to_thread(ask, [path], command, words or {}, seconds)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def there(path: Path) -> tuple[int, int] | None:
    """What tells a socket at this path from the next one there; None when there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns


def write(path: Path, text: str) -> None:
    path.write_text(text)


def read(path: Path) -> str:
    return path.read_text()


def left_behind(path: Path) -> None:
    """What a daemon that was killed leaves."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


# -- the path


@pytest.mark.parametrize("mask", [0o000, 0o077])
async def test_the_daemons_group_may_ask_and_nobody_else(path: Path, log: RememberingLog, mask: int) -> None:
    with umask(mask):
        before = mode(path.parent)
        async with control(path, log):
            assert mode(path) == 0o660
            assert mode(path.parent) == before


async def test_not_even_for_a_moment_may_everybody_ask(
    path: Path, log: RememberingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    monkeypatch.setattr("overshootd.control.claim.Path.chmod", lambda path, _mode: modes.append(mode(path)))
    with umask(0):
        async with control(path, log):
            assert modes == [0o660]


async def test_the_path_goes_with_the_daemon(path: Path, log: RememberingLog) -> None:
    async with control(path, log):
        pass
    assert there(path) is None


async def test_what_another_daemon_put_in_its_place_is_left_there(path: Path, log: RememberingLog) -> None:
    async with control(path, log):
        os.unlink(path)
        left_behind(path)
        theirs = there(path)
    assert there(path) == theirs


async def test_a_dead_daemons_socket_is_replaced(path: Path, log: RememberingLog) -> None:
    left_behind(path)
    async with control(path, log):
        assert await asked(path, "echo", {"word": "new"}) == {"said": "new"}
    assert log.lines == []


async def test_a_living_daemons_socket_is_left_to_it_until_it_ends(path: Path, log: RememberingLog) -> None:
    """As a process of its own, for it is named."""
    listen = f"import socket; s = socket.socket(1); s.bind({str(path)!r}); s.listen(); print(); input()"
    living = await asyncio.create_subprocess_exec(
        sys.executable, "-c", listen, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert living.stdin is not None and living.stdout is not None
        await living.stdout.readline()
        async with Control(path, path.parent, {"echo": echo}, log, str):
            await eventually(lambda: log.lines, "it is said")
            assert f"process {living.pid} listens there: stop the other overshootd" in log.lines[0]
            theirs = there(path)
            living.stdin.write_eof()
            await eventually(lambda: there(path) != theirs, "it takes over")
            assert await asked(path, "echo", {"word": "mine"}) == {"said": "mine"}
            assert log.lines[1:] == ["control socket works again"]
    finally:
        await living.communicate()


async def test_what_is_no_socket_is_never_removed(path: Path, log: RememberingLog) -> None:
    write(path, "precious")
    async with Control(path, path.parent, {}, log, str):
        await eventually(lambda: log.lines, "it is said")
    assert "this is no socket" in log.lines[0]
    assert read(path) == "precious"


def test_another_users_socket_is_not_taken_for_a_dead_one() -> None:
    with foreign_directory() as directory:
        theirs = directory / "control.sock"
        left_behind(theirs)
        theirs.chmod(0o000)
        with unprivileged(), pytest.raises(Taken, match="another user's; remove it, if no"), claimed(theirs):
            pass
        assert theirs.is_socket()


async def test_a_directory_that_comes_later_is_used_then(tmp_path: Path, log: RememberingLog) -> None:
    path = tmp_path / "later" / "control.sock"
    async with Control(path, tmp_path, {"echo": echo}, log, str):
        await eventually(lambda: log.lines, "it is said")
        assert there(path.parent) is None
        os.mkdir(path.parent)
        await eventually(lambda: there(path), "it listens")
    assert [line.partition(";")[0] for line in log.lines] == [
        f"control socket: {path}: No such file or directory",
        "control socket works again",
    ]


@pytest.mark.parametrize(
    ("options", "mend", "why"),
    [
        ("size=1m,ro", "rw", "Read-only file system"),
        ("size=1m,nr_inodes=1", "nr_inodes=9", "No space left on device"),  # the directory itself has that one
    ],
    ids=["read-only", "full"],
)
async def test_a_disk_that_takes_no_socket_is_told_once_and_tried_until_it_does(
    tmp_path: Path, log: RememberingLog, options: str, mend: str, why: str
) -> None:
    with small_filesystem(tmp_path / "state", options) as directory:
        path = directory / "control.sock"
        async with asyncio.timeout(BOUND), Control(path, directory, {"echo": echo}, log, str):
            await eventually(lambda: log.lines, "it is said")
            remount(directory, mend)
            await eventually(lambda: there(path), "it listens")
            assert await asked(path, "echo", {"word": "now"}) == {"said": "now"}
    assert [line.partition(";")[0] for line in log.lines] == [
        f"control socket: {path}: {why}",
        "control socket works again",
    ]


async def test_a_disk_that_turns_read_only_closes_no_socket(tmp_path: Path, log: RememberingLog) -> None:
    with small_filesystem(tmp_path / "state", "size=1m") as directory:
        path = directory / "control.sock"
        async with control(path, log):
            remount(directory, "ro")
            assert await asked(path, "echo", {"word": "still"}) == {"said": "still"}
        assert log.lines == []
        remount(directory, "rw")
        async with control(path, log):  # what could not be removed is a dead daemon's then
            assert await asked(path, "echo", {"word": "new"}) == {"said": "new"}


async def test_a_directory_that_another_daemon_is_about_to_use_is_waited_for(path: Path, log: RememberingLog) -> None:
    left_behind(path)
    theirs = there(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        async with Control(path, path.parent, {}, log, str):
            await eventually(lambda: log.lines, "it waits")
            assert there(path) == theirs
    finally:
        os.close(descriptor)


async def test_a_path_that_is_too_long_is_said_to_be(tmp_path: Path, log: RememberingLog) -> None:
    path = tmp_path / ("x" * 100) / "control.sock"
    async with Control(path, tmp_path, {}, log, str):
        await eventually(lambda: log.lines, "it is said")
    assert "at most 107 bytes" in log.lines[0] and "set state_dir to a shorter path" in log.lines[0]
    with pytest.raises(NoDaemon, match="at most 107 bytes"):
        await asked(path, "echo")


# -- what is answered


async def test_a_command_is_answered_by_its_handler(path: Path, log: RememberingLog) -> None:
    async with control(path, log):
        assert await told(path, ECHO) == {"ok": {"said": "hello"}}


async def test_an_unknown_command_is_answered_with_those_that_there_are(path: Path, log: RememberingLog) -> None:
    async with control(path, log, status=echo):
        assert await told(path, b'{"command": "halt"}\n') == {
            "error": "there is no command 'halt'; those are: echo, status",
            "commands": ["echo", "status"],
        }


async def test_a_daemon_with_another_state_directory_is_not_the_one_that_is_meant(
    path: Path, log: RememberingLog
) -> None:
    async with control(path, log):
        mine = str(path.parent)
        assert await asked(path, "echo", {"word": "x", "state_dir": mine}) == {"said": "x"}
        with pytest.raises(NotMeant, match=f"its state_dir is {mine}"):
            await asked(path, "echo", {"word": "x", "state_dir": "/elsewhere"})


async def test_secrets_are_masked_whoever_says_them(path: Path, log: RememberingLog) -> None:
    async def fail(request: Json) -> Json:
        raise Transient("401 for hunter2")

    async with control(path, log, fail=fail):
        assert await told(path, b'{"command": "echo", "word": "it is hunter2"}\n') == {"ok": {"said": "it is ***"}}
        assert await told(path, b'{"command": "fail"}\n') == {"error": "401 for ***"}
        assert (await told(path, b'{"command": "hunter2"}\n'))["error"].startswith("there is no command '***'")


async def test_a_mistake_in_a_handler_is_logged_and_ends_nothing(path: Path, log: RememberingLog) -> None:
    async with control(path, log):
        assert await told(path, b'{"command": "echo"}\n') == {  # its word is missing
            "error": "an error in overshootd itself; its log tells more"
        }
        assert log.lines == ["an error in overshootd itself: the control socket"]
        assert await told(path, ECHO) == {"ok": {"said": "hello"}}


async def test_what_json_cannot_say_is_a_mistake_too(path: Path, log: RememberingLog) -> None:
    async def wrong(request: Json) -> Json:
        return {"a": {1, 2}}

    async with control(path, log, wrong=wrong):
        assert "an error in overshootd itself" in (await told(path, b'{"command": "wrong"}\n'))["error"]


# -- bounds


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"status\n", "one JSON object on a line"),
        (b"[1]\n", "one JSON object on a line"),
        (b'{"command": 1}\n', "one JSON object on a line"),
        (b"\xff\n", "one JSON object on a line"),
        (b"x" * (2 * REQUEST_BYTES), f"at most {REQUEST_BYTES} bytes"),
        (b'{"command": "echo"}', "no request came within 0.2 s"),
        (b"", "no request came within 0.2 s"),
    ],
    ids=["word", "list", "number", "bytes", "endless", "slow", "silent"],
)
async def test_what_is_no_request_is_told_why(path: Path, log: RememberingLog, line: bytes, why: str) -> None:
    async with control(path, log, QUICK):
        assert why in (await told(path, line))["error"]
        assert await told(path, ECHO) == {"ok": {"said": "hello"}}


async def test_a_client_that_hangs_holds_up_nobody(path: Path, log: RememberingLog) -> None:
    async with control(path, log):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(path))
            assert await told(path, ECHO) == {"ok": {"said": "hello"}}


async def test_a_handler_that_hangs_is_given_up(path: Path, log: RememberingLog) -> None:
    ended = asyncio.Event()

    async def hang(request: Json) -> Json:
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
        finally:
            ended.set()

    async with control(path, log, QUICK, hang=hang):
        assert await told(path, b'{"command": "hang"}\n') == {"error": "no answer within 0.2 s"}
        assert ended.is_set()


async def test_whoever_hangs_up_is_not_worked_for(path: Path, log: RememberingLog) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(request: Json) -> Json:
        begun.set()
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
        finally:
            ended.set()

    async with control(path, log, hang=hang):
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "hang"}\n')
        await begun.wait()
        writer.close()
        await ended.wait()
        await eventually(lambda: log.lines, "it is told")
        assert "gone before the answer came" in log.lines[0]


async def test_whoever_only_has_nothing_more_to_say_is_answered(path: Path, log: RememberingLog) -> None:
    """`echo … | socat - UNIX-CONNECT:…` closes its own half at once."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def wait(request: Json) -> Json:
        begun.set()
        await go.wait()
        return {}

    async with control(path, log, wait=wait):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "wait"}\n')
        writer.write_eof()
        await begun.wait()
        await asyncio.sleep(2 * LOOK_SECONDS)  # it looks meanwhile, which nothing else can tell
        go.set()
        assert await reader.readline() == b'{"ok": {}}\n'
        writer.close()


async def test_an_answer_that_nobody_takes_is_thrown_away(path: Path, log: RememberingLog) -> None:
    async def much(request: Json) -> Json:
        return {"picture": "x" * 4_000_000}  # more than the kernel buffers

    async with control(path, log, QUICK, much=much):
        with socket.socket(socket.AF_UNIX) as lazy:
            lazy.connect(str(path))
            lazy.sendall(b'{"command": "much"}\n')
            await eventually(lambda: log.lines, "it is given up")
        assert "did not take the answer" in log.lines[0]
        assert len((await told(path, b'{"command": "much"}\n'))["ok"]["picture"]) == 4_000_000


async def test_one_client_too_many_is_sent_away_and_the_next_one_is_not(path: Path, log: RememberingLog) -> None:
    asking: list[asyncio.Event] = []
    go = asyncio.Event()

    async def wait(request: Json) -> Json:
        asking.append(go)
        await go.wait()
        return {}

    async with control(path, log, wait=wait):
        waiting = [asyncio.create_task(told(path, b'{"command": "wait"}\n')) for _ in range(CLIENTS)]
        await eventually(lambda: len(asking) == CLIENTS, "all are being answered")
        with pytest.raises(Refusal, match="16 others are being answered"):
            await asked(path, "echo", {"word": "x"})
        go.set()
        assert await asyncio.gather(*waiting) == [{"ok": {}}] * CLIENTS
        assert await told(path, ECHO) == {"ok": {"said": "hello"}}


async def test_its_end_waits_for_nobody(path: Path, log: RememberingLog) -> None:
    """Neither for who has not asked, nor for a handler that is at it."""
    begun = asyncio.Event()

    async def hang(request: Json) -> Json:
        begun.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async with asyncio.timeout(BOUND):
        async with control(path, log, hang=hang):
            silent, one = await asyncio.open_unix_connection(path)
            asks, other = await asyncio.open_unix_connection(path)
            other.write(b'{"command": "hang"}\n')
            await begun.wait()
        assert await silent.read() == await asks.read() == b""
    one.close()
    other.close()


# -- whoever asks


def test_a_daemon_that_does_not_answer_is_not_waited_for(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(path))
        hanging.listen()
        with pytest.raises(NoAnswer, match=r"gave no answer within 0.1 s. What it is doing: journalctl -u overshootd"):
            ask([path], "status", {}, 0.1)


def test_a_daemon_that_takes_nobody_in_is_not_waited_for_either(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hanging, socket.socket(socket.AF_UNIX) as before:
        hanging.bind(str(path))
        hanging.listen(0)
        before.connect(str(path))
        with pytest.raises(NoDaemon, match="it takes nobody in"):
            ask([path], "status", {}, 0.1)


@pytest.mark.parametrize("line", [b"", b'{"ok": {}', b"hello\n", b'{"ok": 1}\n'])
def test_what_is_no_answer_is_not_understood(path: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(BOUND)
        answering = threading.Thread(target=answer_once, args=(server, line))
        answering.start()
        with pytest.raises(NotUnderstood):
            ask([path], "status", {}, BOUND)
        answering.join()


def answer_once(server: socket.socket, line: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(REQUEST_BYTES)
        connection.sendall(line)


def test_the_first_daemon_that_listens_is_asked(tmp_path: Path) -> None:
    left_behind(tmp_path / "stale")
    with pytest.raises(NoDaemon) as nobody:
        ask([tmp_path / "stale", tmp_path / "none"], "status", {}, BOUND)
    assert str(nobody.value).splitlines() == [
        "no daemon answers. It was looked for at",
        f"  {tmp_path}/stale: nobody listens there",
        f"  {tmp_path}/none: not there",
        "Is it running? systemctl status overshootd",
    ]


@pytest.mark.parametrize("hidden", [False, True], ids=["its socket", "its directory"])
def test_who_may_not_ask_is_told_which_group_may(hidden: bool) -> None:
    group = 1 if os.geteuid() == 0 else os.getegid()
    with foreign_directory() as directory:
        path = directory / "control.sock"
        left_behind(path)
        closed = directory if hidden else path
        os.chown(closed, -1, group)
        closed.chmod(0o000)
        with unprivileged(), pytest.raises(NoDaemon) as refused:
            ask([path], "status", {}, BOUND)
    assert str(refused.value).splitlines()[1:] == [
        f"  {path}: you may not ask there",
        f"Join the group that may ask (sudo usermod -aG {grp.getgrgid(group).gr_name} $USER, then log in anew), "
        "or ask with sudo",
    ]
