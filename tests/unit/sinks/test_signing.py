"""Signatures that the reference implementation accepts."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from overshootd.errors import ConfigError
from overshootd.sinks.signing import signed_headers, signing_key

keys = st.binary(min_size=1, max_size=64)


@settings(deadline=None)
@given(key=keys, uid=st.uuids().map(str), seconds=st.integers(0, 2**33), text=st.text(st.characters(codec="utf-8")))
def test_a_signature_is_the_one_of_the_specification(key: bytes, uid: str, seconds: int, text: str) -> None:
    headers = signed_headers(uid, seconds, text.encode(), key)
    expected = Webhook(key).sign(uid, datetime.fromtimestamp(seconds, UTC), text)
    assert headers == {"webhook-id": uid, "webhook-timestamp": str(seconds), "webhook-signature": expected}


@settings(deadline=None)
@given(key=keys, padded=st.booleans())
def test_a_secret_with_the_prefix_is_base64_padded_or_not(key: bytes, padded: bool) -> None:
    encoded = base64.b64encode(key).decode()
    assert signing_key("whsec_" + (encoded if padded else encoded.rstrip("="))) == key


def test_any_other_secret_is_the_key_itself() -> None:
    assert signing_key("geheim und lang äöü") == "geheim und lang äöü".encode()


@pytest.mark.parametrize("rest", ["", "====", "no base64!", "a"])
def test_a_prefix_without_base64_is_told_and_not_shown(rest: str) -> None:
    with pytest.raises(ConfigError, match="begins with whsec_ goes on in base64") as refused:
        signing_key(f"whsec_{rest}")
    assert rest in ("", "a") or rest not in str(refused.value)


def test_without_a_key_nothing_is_signed_but_the_message_has_its_id() -> None:
    assert signed_headers("u", 7, b"{}", None) == {"webhook-id": "u", "webhook-timestamp": "7"}
