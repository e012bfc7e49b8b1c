"""A socket that reads ahead gives what another one would, in fewer system calls."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from overshootd.mqtt.ahead import READ_BYTES, ReadAhead, together


@pytest.fixture
def pair() -> Iterator[tuple[ReadAhead, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = ReadAhead(socket.create_connection(server.getsockname()))
        far, _ = server.accept()
    with near, far:
        yield near, far


def test_it_gives_as_much_as_is_asked_for_and_knows_what_is_left(pair: tuple[ReadAhead, socket.socket]) -> None:
    near, far = pair
    far.sendall(b"abcdef")
    assert near.recv(1) == b"a"
    assert near.pending() == 5
    assert (near.recv(2), near.pending(), near.recv(100), near.pending()) == (b"bc", 3, b"def", 0)


def test_all_comes_in_order_whatever_the_sizes(pair: tuple[ReadAhead, socket.socket]) -> None:
    near, far = pair
    sent = bytes(range(256)) * (READ_BYTES // 64)
    far.sendall(sent)
    far.shutdown(socket.SHUT_WR)
    got, size = b"", 1
    while data := near.recv(size):
        assert len(data) <= size
        got, size = got + data, size % 5000 + 7
    assert got == sent


def test_one_that_does_not_block_says_that_there_is_nothing(pair: tuple[ReadAhead, socket.socket]) -> None:
    near, _ = pair
    near.setblocking(False)
    with pytest.raises(BlockingIOError):
        near.recv(1)


def test_the_time_out_stays(pair: tuple[ReadAhead, socket.socket]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        plain = socket.create_connection(server.getsockname(), timeout=7.0)
    with ReadAhead(plain) as near:
        assert near.gettimeout() == 7.0


def test_what_is_sent_together_arrives_without_more(pair: tuple[ReadAhead, socket.socket]) -> None:
    near, far = pair
    far.settimeout(20.0)
    with together(near):
        near.send(b"a")
        near.send(b"b")
    assert far.recv(10) == b"ab"


def test_a_socket_that_was_closed_meanwhile_is_left_alone(pair: tuple[ReadAhead, socket.socket]) -> None:
    near, _ = pair
    with together(near):
        near.close()
