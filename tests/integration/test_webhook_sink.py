"""Records at a web server: signed, retried until it answers 2xx; a slow one holds up nothing live."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from overshootd.config.pieces import SecretRef
from overshootd.config.secret import Secret
from overshootd.config.sinks import WebhookSink as WebhookSinkConfig
from overshootd.contracts import Sink
from overshootd.errors import ConfigError, Refused, Rejected, Transient, Unreachable
from overshootd.sinks.record import encode
from overshootd.sinks.webhook import BACKLOG_WINDOW, WebhookSink
from tests.integration.authority import Authority
from tests.integration.sink_lab import record
from tests.remembering import RememberingLog

BOUND = 20.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

Answering = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


async def fine(_request: web.Request, _body: bytes) -> web.Response:
    return web.Response(status=204)


class Receiver:
    """Keeps what comes, and answers as it is told: with `answers` first, then by `answering`."""

    def __init__(self) -> None:
        self.url = ""
        self.came: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.peers: set[object] = set()
        self.answers: list[web.Response] = []
        self.answering: Answering = fine

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.came.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.peers.add(request.transport and request.transport.get_extra_info("peername"))
        return self.answers.pop(0) if self.answers else await self.answering(request, body)


@asynccontextmanager
async def serving(receiver: Receiver, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
    receiver.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}/hook?token=in-the-query"
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with serving(receiver):
        yield receiver


class Kept:
    """Where secrets are kept, under the name of a credential."""

    def __init__(self, **secrets: str) -> None:
        self.secrets = secrets
        self.read = 0

    def __call__(self, ref: SecretRef) -> Secret:
        self.read += 1
        if ref.credential not in self.secrets:
            raise ConfigError(f"{ref.credential}: no such file")
        return Secret(self.secrets[ref.credential])


@asynccontextmanager
async def sink_to(url: str, kept: Kept | None = None, **config: object) -> AsyncIterator[WebhookSink]:
    parsed = WebhookSinkConfig.model_validate({"type": "webhook", "url": url, **config})
    sink = WebhookSink(parsed, kept or Kept(), RememberingLog())
    async with asyncio.timeout(BOUND):
        try:
            yield sink
        finally:
            await sink.close()


def lines(begin: int, end: int) -> list[bytes]:
    return [encode(record("yard", "Grüße"), f"uid-{number}", number) for number in range(begin, end)]


async def test_a_record_is_a_post_whose_signature_verifies(receiver: Receiver) -> None:
    async with sink_to(receiver.url, Kept(hook=SECRET), secret={"credential": "hook"}) as sink:
        await sink.open()
        await sink.deliver(lines(0, 1))
        await sink.sync()
    [headers] = receiver.headers
    assert receiver.came == lines(0, 1)
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == "uid-0"
    assert Webhook(SECRET).verify(receiver.came[0], headers)["uid"] == "uid-0"


async def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    async with sink_to(receiver.url) as sink:
        await sink.deliver(lines(0, 1))
    [headers] = receiver.headers
    assert "webhook-signature" not in headers
    assert headers["webhook-id"] == "uid-0"


async def test_headers_of_the_configuration_are_sent_but_ours_win(receiver: Receiver) -> None:
    given = {"Authorization": {"credential": "auth"}, "Webhook-Id": {"credential": "auth"}}
    async with sink_to(receiver.url, Kept(auth="Bearer abc"), headers=given) as sink:
        await sink.deliver(lines(0, 1))
    [headers] = receiver.headers
    assert (headers["authorization"], headers["webhook-id"]) == ("Bearer abc", "uid-0")


async def test_a_sink_is_named_by_its_url_and_lets_live_records_pass(receiver: Receiver) -> None:
    async with sink_to(receiver.url) as sink:
        as_seen: Sink = sink
        assert (as_seen.name, as_seen.live_first) == (f"webhook:{receiver.url}", True)


async def test_connections_are_used_again(receiver: Receiver) -> None:
    async with sink_to(receiver.url) as sink:
        for number in range(5):
            await sink.deliver(lines(number, number + 1))
    assert len(receiver.came) == 5
    assert len(receiver.peers) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_passes_is_transient_and_the_wish_of_the_server_is_told(receiver: Receiver, status: int) -> None:
    receiver.answers = [web.Response(status=status, headers={"retry-after": "7"})]
    async with sink_to(receiver.url) as sink:
        with pytest.raises(Transient, match=f"HTTP {status}") as failed:
            await sink.deliver(lines(0, 1))
        assert failed.value.retry_after == 7
        assert not isinstance(failed.value, Refused)
        await sink.deliver(lines(0, 1))
    assert receiver.came == [*lines(0, 1), *lines(0, 1)]


async def test_of_a_batch_that_failed_half_way_only_the_rest_is_sent_again(receiver: Receiver) -> None:
    async def some(_request: web.Request, body: bytes) -> web.Response:
        return web.Response(status=500 if json.loads(body)["seq"] in (3, 4) and len(receiver.came) < 20 else 200)

    receiver.answering = some
    given, failures = lines(0, 30), 0
    async with sink_to(receiver.url) as sink:
        while True:
            try:
                await sink.deliver(given, backlog=True)
            except Transient:
                failures += 1
            else:
                break
    assert failures
    assert set(receiver.came) == set(given)
    twice = {json.loads(body)["seq"] for body, count in Counter(receiver.came).items() if count > 1}
    assert twice <= {3, 4}


async def test_a_server_in_trouble_is_sent_no_more_than_the_window(receiver: Receiver) -> None:
    async def broken(_request: web.Request, _body: bytes) -> web.Response:
        return web.Response(status=503)

    receiver.answering = broken
    async with sink_to(receiver.url) as sink:
        with pytest.raises(Transient, match="HTTP 503"):
            await sink.deliver(lines(0, 200), backlog=True)
    assert len(receiver.came) <= BACKLOG_WINDOW


async def test_nobody_there_is_unreachable_until_there_is(receiver: Receiver) -> None:
    other = Receiver()
    async with serving(other):
        pass
    port = int(other.url.rsplit(":", 1)[1].split("/")[0])
    async with sink_to(other.url) as sink:
        with pytest.raises(Unreachable, match=f"^http://127.0.0.1:{port}/hook cannot be reached: "):
            await sink.deliver(lines(0, 1))
        async with serving(other, port=port):
            await sink.deliver(lines(0, 1))
    assert other.came == lines(0, 1)


async def test_a_server_that_does_not_answer_in_time_is_unreachable(receiver: Receiver) -> None:
    forever = asyncio.Event()

    async def silent(_request: web.Request, _body: bytes) -> web.Response:
        await forever.wait()
        return web.Response()

    receiver.answering = silent
    async with sink_to(receiver.url, timeout_seconds=1) as sink:
        with pytest.raises(Unreachable, match="does not answer within 1 s"):
            await sink.deliver(lines(0, 1))
        receiver.answering = fine
        await sink.deliver(lines(0, 1))
    forever.set()


async def test_a_redirect_is_not_followed_and_says_where_it_leads(receiver: Receiver) -> None:
    receiver.answers = [web.Response(status=307, headers={"location": "https://elsewhere/hook"})]
    async with sink_to(receiver.url) as sink:
        with pytest.raises(Refused, match="redirected to https://elsewhere/hook, which is not followed"):
            await sink.deliver(lines(0, 1))
    assert len(receiver.came) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_what_a_person_must_mend_is_refused_and_says_what(receiver: Receiver, status: int) -> None:
    receiver.answers = [web.Response(status=status, text="go away")]
    async with sink_to(receiver.url) as sink:
        with pytest.raises(Refused, match=rf"HTTP {status} \(go away\): (look at|set url)") as failed:
            await sink.deliver(lines(0, 1))
    assert not isinstance(failed.value, Rejected)
    assert "in-the-query" not in str(failed.value)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_record_that_is_never_taken_is_told_once_all_others_are(receiver: Receiver, status: int) -> None:
    async def picky(_request: web.Request, body: bytes) -> web.Response:
        return web.Response(status=status if json.loads(body)["seq"] == 2 else 200)

    receiver.answering = picky
    async with sink_to(receiver.url) as sink:
        for _ in range(2):
            with pytest.raises(Rejected, match="it does not take this record"):
                await sink.deliver(lines(0, 10), backlog=True)
    assert Counter(receiver.came) == dict.fromkeys(lines(0, 10), 1) | {lines(2, 3)[0]: 2}


async def test_what_was_taken_is_not_sent_again_by_whichever_lane(receiver: Receiver) -> None:
    """As a delivery does that looks for the one record that is refused."""
    receiver.answers = [web.Response(), web.Response(), web.Response(status=400)]
    async with sink_to(receiver.url) as sink:
        with pytest.raises(Rejected):
            await sink.deliver(lines(0, 3))
        for number in range(3):
            await sink.deliver(lines(number, number + 1), backlog=True)
        await sink.deliver(lines(0, 3), backlog=True)
    assert len(receiver.came) == 4


async def test_a_secret_that_was_rotated_is_read_again_and_nothing_waits(receiver: Receiver) -> None:
    async def strict(request: web.Request, body: bytes) -> web.Response:
        try:
            Webhook(OTHER).verify(body, dict(request.headers))
        except Exception:  # noqa: BLE001  # of whatever kind
            return web.Response(status=401)
        return web.Response()

    receiver.answering = strict
    kept = Kept(hook=SECRET)
    async with sink_to(receiver.url, kept, secret={"credential": "hook"}) as sink:
        await sink.open()
        with pytest.raises(Refused, match="look at secret and headers"):
            await sink.deliver(lines(0, 1))
        kept.secrets["hook"] = OTHER
        await sink.deliver(lines(0, 1))
    assert len(receiver.came) == 3, "an unchanged secret is not tried again"


async def test_a_secret_is_not_read_for_every_record(receiver: Receiver) -> None:
    kept = Kept(hook=SECRET)
    async with sink_to(receiver.url, kept, secret={"credential": "hook"}) as sink:
        await sink.open()
        await sink.deliver(lines(0, 10))
    assert kept.read == 1


async def test_a_secret_that_is_missing_is_a_persons_matter(receiver: Receiver) -> None:
    async with sink_to(receiver.url, Kept(), secret={"credential": "hook"}) as sink:
        with pytest.raises(ConfigError, match="hook: no such file"):
            await sink.open()
        with pytest.raises(Refused, match="hook: no such file"):
            await sink.deliver(lines(0, 1))
    assert receiver.came == []


@pytest.mark.parametrize(("name", "value"), [("X-Key", "two\nlines"), ("X-Key", "schlüssel"), ("no name", "fine")])
async def test_a_header_that_cannot_be_sent_is_told_without_its_value(
    receiver: Receiver, name: str, value: str
) -> None:
    async with sink_to(receiver.url, Kept(key=value), headers={name: {"credential": "key"}}) as sink:
        with pytest.raises(ConfigError, match=f"header '{name}' must be a name") as refused:
            await sink.open()
    assert value not in str(refused.value)


async def test_a_slow_server_takes_live_records_beside_a_backlog(receiver: Receiver) -> None:
    """As many of the backlog as may are under way and get no answer."""
    held, full = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request, body: bytes) -> web.Response:
        if json.loads(body)["seq"] < 100:
            if len(receiver.came) == BACKLOG_WINDOW:
                full.set()
            await held.wait()
        return web.Response()

    receiver.answering = slow
    async with sink_to(receiver.url) as sink, asyncio.TaskGroup() as tasks:
        backlog = tasks.create_task(sink.deliver(lines(0, 50), backlog=True))
        await full.wait()
        await sink.deliver(lines(100, 101))
        assert not backlog.done()
        assert len(receiver.came) == BACKLOG_WINDOW + 1
        held.set()
    assert set(receiver.came) == {*lines(0, 50), *lines(100, 101)}


async def test_a_private_authority_is_trusted_through_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.make(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.sign(tmp_path, "127.0.0.1"))
    receiver = Receiver()
    async with serving(receiver, tls):
        async with sink_to(receiver.url) as sink:
            with pytest.raises(Unreachable, match="is from nobody whom this machine trusts"):
                await sink.deliver(lines(0, 1))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        async with sink_to(receiver.url) as sink:
            await sink.deliver(lines(0, 1))
    assert receiver.came == lines(0, 1)


async def test_an_answer_without_end_is_not_read_to_its_end(receiver: Receiver) -> None:
    async def endless(request: web.Request, _body: bytes) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with suppress(ConnectionError):
            while True:
                await answer.write(b"x" * 65536)
        return answer

    receiver.answering = endless
    async with sink_to(receiver.url, timeout_seconds=5) as sink:
        await sink.deliver(lines(0, 1))
    assert len(receiver.came) == 1


def headed(head: str, body: bytes, goes_on: bool) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    """A server that answers like this to each record, and then goes away, or says no more."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            request = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(request.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            writer.write(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)
            if goes_on:
                await reader.read()
        writer.close()

    return answer


@pytest.mark.parametrize(
    ("headers", "body", "goes_on"),
    [
        pytest.param("Content-Length: 100", b"cut", False, id="cut off"),
        pytest.param("Content-Length: 100", b"drip", True, id="never ends"),
        pytest.param("Content-Encoding: gzip\r\nContent-Length: 3", b"bad", True, id="not what it says"),
    ],
)
async def test_what_the_head_of_an_answer_says_counts_however_its_body_ends(
    headers: str, body: bytes, goes_on: bool
) -> None:
    """A record whose body alone failed would be sent for ever, and taken each time."""
    for status, raised in [("200 OK", None), ("410 Gone", Refused)]:
        server = await asyncio.start_server(headed(f"{status}\r\n{headers}", body, goes_on), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with server, sink_to(url, timeout_seconds=1) as sink:
            with pytest.raises(raised) if raised else nullcontext():
                await sink.deliver(lines(0, 1))
