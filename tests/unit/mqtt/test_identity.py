"""When an id is taken for somebody else's."""

from overshootd.mqtt.identity import SOON_SECONDS, SUSPICIOUS, TAKEN, Identity


def _lost(identity: Identity, times: int, *, taken: bool = False, silently: bool = False, after: float = 1.0) -> str:
    told = ""
    for number in range(times):
        identity.begin(number * 1000.0, "abc")
        told = identity.lost(taken=taken, silently=silently, now=number * 1000.0 + after)
    return told


def test_another_client_is_told_at_once_and_avoided_at_the_second_time() -> None:
    identity = Identity("pi")
    assert "another client uses the id pi" in _lost(identity, 1, taken=True)
    assert identity.now == "pi"
    assert "going on as pi-abc" in _lost(identity, 1, taken=True)
    assert identity.now == "pi-abc"


def test_one_that_comes_now_and_then_is_lived_with() -> None:
    identity = Identity("pi")
    _lost(identity, 5 * TAKEN, taken=True, after=SOON_SECONDS + 1)
    assert identity.now == "pi"


def test_connections_that_are_closed_soon_and_without_a_word_are_suspicious() -> None:
    identity = Identity("pi")
    assert _lost(identity, SUSPICIOUS - 1, silently=True) == ""
    assert "another client may use the id pi" in _lost(identity, 1, silently=True)
    assert identity.now == "pi-abc"


def test_whatever_else_ends_a_connection_is_nobodys_doing() -> None:
    identity = Identity("pi")
    assert _lost(identity, 10 * SUSPICIOUS) == ""
    assert identity.now == "pi"


def test_one_connection_that_lasts_takes_the_suspicion_away() -> None:
    identity = Identity("pi")
    for _ in range(5):
        _lost(identity, SUSPICIOUS - 1, silently=True)
        _lost(identity, 1, silently=True, after=SOON_SECONDS + 1)
    assert identity.now == "pi"


def test_the_new_id_is_kept() -> None:
    identity = Identity("pi")
    _lost(identity, TAKEN, taken=True)
    identity.begin(0.0, "xyz")
    identity.lost(taken=True, silently=False, now=1.0)
    assert identity.now == "pi-abc"
