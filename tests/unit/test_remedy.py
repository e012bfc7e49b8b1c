"""What is said of TLS and proxies, of texts as the libraries give them (integration/test_private_network.py)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.remedy import explained

OPENSSL = "ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
RUSTLS = "engine: signal failure: transport connection error: IO error: invalid peer certificate: "
NOT_YET = "certificate not valid yet: verification time {0} (UNIX), but certificate is not valid before 1795689440"


@pytest.mark.parametrize(
    ("why", "said"),
    [
        (OPENSSL + "unable to get local issuer certificate (_ssl.c:1006)", "SSL_CERT_FILE"),
        (OPENSSL + "self-signed certificate (_ssl.c:1006)", "SSL_CERT_FILE"),
        (RUSTLS + "UnknownIssuer", "SSL_CERT_FILE"),
        (OPENSSL + "certificate is not yet valid (_ssl.c:1006)", "not yet valid by this machine's clock"),
        (RUSTLS + NOT_YET.format(1795516641), "not yet valid by this machine's clock"),
        (OPENSSL + "certificate has expired (_ssl.c:1006)", "has expired by this machine's clock"),
        (OPENSSL + "IP address mismatch, certificate is not valid for '10.0.0.1'. (_ssl.c:1006)", "another name"),
        (RUSTLS + 'certificate not valid for name "api.lan"; certificate is only valid for x', "another name"),
        ("ProxyError: 407 Proxy Authentication Required", "HTTPS_PROXY"),
        ("InvalidProxyStatus: proxy rejected connection: HTTP 407", "HTTPS_PROXY"),
    ],
)
def test_what_a_person_must_mend_is_named_with_the_host(why: str, said: str) -> None:
    sentence = explained(why, "https://user:secret@api.lan:8443/v0.2/streams?key=secret")
    assert said in sentence and "of api.lan:8443 " in sentence.replace("way to", "of")
    assert "secret" not in sentence


def test_a_reason_with_a_figure_that_moves_is_one_reason() -> None:
    """Else the log would have a line for each try."""
    assert len({explained(RUSTLS + NOT_YET.format(second), "wss://room.lan") for second in range(10)}) == 1


@pytest.mark.parametrize("why", ["ConnectError: All connection attempts failed", "no answer within 5 s", ""])
def test_what_nobody_can_mend_is_left_as_it_is(why: str) -> None:
    assert explained(why, "https://api.lan") == why


@given(st.text(), st.text())
def test_whatever_the_text_and_the_url_there_is_a_sentence(why: str, url: str) -> None:
    assert isinstance(explained(OPENSSL + why, url), str)
