"""When keepalives are due, from the TTL alone."""

from hypothesis import given
from hypothesis import strategies as st

from overshootd.api.lease import Lease

TTLS = st.floats(6.0, 300.0)


@given(TTLS)
def test_a_lost_keepalive_leaves_room_for_two_more_into_a_lease(ttl: float) -> None:
    lease = Lease(ttl, sent=0.0)
    assert lease.due + 2 * (lease.timeout + lease.longest_delay) <= ttl


@given(TTLS)
def test_keepalives_come_at_least_every_20_seconds(ttl: float) -> None:
    assert Lease(ttl, sent=100.0).due <= 120.0


@given(TTLS)
def test_a_lease_is_expired_from_its_end_on_and_not_before(ttl: float) -> None:
    lease = Lease(ttl, sent=50.0)
    assert not lease.expired(50.0 + ttl * 0.999)
    assert lease.expired(50.0 + ttl)


@given(st.floats(300.0, 1e300) | st.just(float("inf")))
def test_no_lease_is_believed_to_be_longer_than_any_source_names(ttl: float) -> None:
    lease = Lease(ttl, sent=0.0)
    assert lease.longest_delay <= 30.0
    assert lease.expired(300.0)


def test_without_a_ttl_the_lease_is_renewed_as_the_shortest_known_and_never_given_up() -> None:
    lease = Lease(None, sent=0.0)
    assert lease.due == 10.0
    assert not lease.expired(1e9)
