"""Every row of the failure table in api/README.md."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.api.failures import Do, HttpAnswer, NoAnswer, Operation, SocketClosed, decide
from overshootd.errors import Permanent, Refused, StreamGone, Transient

ROWS = [
    # seen, while doing, what to do
    (NoAnswer("connection refused"), Operation.CREATE, Do.ASK_AGAIN),
    (NoAnswer("no answer within 5 s"), Operation.KEEPALIVE, Do.ASK_AGAIN),
    (HttpAnswer(500, "oops"), Operation.CREATE, Do.RETRY),
    (HttpAnswer(503, None), Operation.KEEPALIVE, Do.RETRY),
    (HttpAnswer(401, "bad key"), Operation.CREATE, Do.RETRY_SLOWLY),
    (HttpAnswer(401, "bad key"), Operation.KEEPALIVE, Do.RETRY_SLOWLY),
    (SocketClosed(1008, "authentication failed"), Operation.RESULTS, Do.RETRY_SLOWLY),
    (HttpAnswer(402, "no credits"), Operation.CREATE, Do.RETRY_SLOWLY),
    (HttpAnswer(402, "no credits"), Operation.KEEPALIVE, Do.RETRY_SLOWLY),
    (SocketClosed(1001, "insufficient_credits"), Operation.RESULTS, Do.RETRY_SLOWLY),
    (HttpAnswer(422, "invalid"), Operation.CREATE, Do.STOP),
    (HttpAnswer(400, "invalid"), Operation.CREATE, Do.STOP),
    (HttpAnswer(429, "too many streams"), Operation.CREATE, Do.FREE_STREAMS),
    (HttpAnswer(429, "slow down"), Operation.KEEPALIVE, Do.RETRY),
    (HttpAnswer(404, "unknown"), Operation.KEEPALIVE, Do.NEW_STREAM),
    (SocketClosed(1001, "lease_expired"), Operation.RESULTS, Do.NEW_STREAM),
    (SocketClosed(1001, "stream ended: lease_expired"), Operation.RESULTS, Do.NEW_STREAM),
    (SocketClosed(1001, "client_requested"), Operation.RESULTS, Do.NEW_STREAM),
    (SocketClosed(1001, "livekit_disconnected"), Operation.RESULTS, Do.ASK_LEASE),
    (SocketClosed(1001, "webrtc_disconnected"), Operation.RESULTS, Do.ASK_LEASE),
    (SocketClosed(1000), Operation.RESULTS, Do.ASK_LEASE),
    (SocketClosed(1012, "service restart"), Operation.RESULTS, Do.ASK_LEASE),
    (SocketClosed(None), Operation.RESULTS, Do.ASK_LEASE),
    (HttpAnswer(403, "not yours"), Operation.KEEPALIVE, Do.LET_GO),
    (HttpAnswer(409, "region_error"), Operation.CREATE, Do.OTHER_REGION),
    (HttpAnswer(404, "not found"), Operation.CREATE, Do.RETRY_SLOWLY),
    (HttpAnswer(410, "gone"), Operation.CREATE, Do.RETRY_SLOWLY),
    (HttpAnswer(200, None), Operation.CREATE, Do.LOG_IN),
    (HttpAnswer(302, None), Operation.CREATE, Do.LOG_IN),
    # A portal's 404 says nothing of the stream: the lease decides.
    (HttpAnswer(404, None), Operation.KEEPALIVE, Do.RETRY),
    (HttpAnswer(404, "unknown"), Operation.DELETE, Do.NOTHING),
    # A handshake is refused without JSON, by whoever stands in the way: only a keepalive can tell.
    (HttpAnswer(200, None), Operation.RESULTS, Do.ASK_LEASE),
    (HttpAnswer(404, None), Operation.RESULTS, Do.ASK_LEASE),
    (HttpAnswer(426, None), Operation.RESULTS, Do.ASK_LEASE),
    (HttpAnswer(503, None), Operation.RESULTS, Do.ASK_LEASE),
    (HttpAnswer(401, None), Operation.RESULTS, Do.RETRY_SLOWLY),
    (HttpAnswer(403, None), Operation.RESULTS, Do.LET_GO),
    # What the table does not name stops nothing for good.
    (HttpAnswer(405, "no"), Operation.CREATE, Do.RETRY_SLOWLY),
    (HttpAnswer(451, "no"), Operation.KEEPALIVE, Do.RETRY),
    (HttpAnswer(422, "no"), Operation.KEEPALIVE, Do.RETRY),
    (HttpAnswer(422, "no"), Operation.PROMPT, Do.STOP),
]


@pytest.mark.parametrize(("seen", "operation", "do"), ROWS)
def test_each_row_of_the_table(seen: HttpAnswer | SocketClosed | NoAnswer, operation: Operation, do: Do) -> None:
    assert decide(operation, seen).do is do


def test_a_stream_of_somebody_else_is_never_deleted() -> None:
    assert not decide(Operation.KEEPALIVE, HttpAnswer(403, "not yours")).may_delete


def test_the_refused_field_is_named() -> None:
    refused = HttpAnswer(422, "validation failed", details=[{"loc": ["processing", "interval_seconds"]}])
    assert "interval_seconds" in decide(Operation.CREATE, refused).message


def test_the_servers_retry_after_is_kept() -> None:
    error = decide(Operation.CREATE, HttpAnswer(503, "later", retry_after=17.0)).error()
    assert isinstance(error, Transient)
    assert error.retry_after == 17.0


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (HttpAnswer(401, "x"), Refused),
        (HttpAnswer(404, "x"), StreamGone),
        (HttpAnswer(429, "x"), Transient),
    ],
)
def test_a_decision_becomes_the_error_of_its_kind(seen: HttpAnswer, kind: type[Exception]) -> None:
    assert type(decide(Operation.KEEPALIVE, seen).error()) is kind


def test_a_refused_configuration_is_permanent() -> None:
    assert type(decide(Operation.CREATE, HttpAnswer(422, "x")).error()) is Permanent


@given(
    st.sampled_from(Operation),
    st.one_of(
        st.builds(HttpAnswer, st.integers(100, 999), st.none() | st.text()),
        st.builds(SocketClosed, st.none() | st.integers(1000, 4999), st.text()),
        st.builds(NoAnswer, st.text()),
    ),
)
def test_whatever_is_seen_is_decided(operation: Operation, seen: HttpAnswer | SocketClosed | NoAnswer) -> None:
    decision = decide(operation, seen)
    assert decision.message or decision.do is Do.RETRY
