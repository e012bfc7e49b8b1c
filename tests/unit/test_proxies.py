"""The proxies that the environment names."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overshootd.errors import ConfigError
from overshootd.proxies import passwords, tell
from tests.remembering import RememberingLog

PASSWORD = "s3cret-word"


def told(**environ: str) -> list[str]:
    log = RememberingLog()
    tell(environ, log)
    return log.lines


def test_no_proxy_is_nothing_to_tell() -> None:
    assert told(HTTPS_PROXY="", PATH="/bin") == []


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_the_proxy_is_told_without_its_password(name: str) -> None:
    (line,) = told(**{name: f"http://pi:{PASSWORD}@proxy.lan:3128"})
    assert name in line and "proxy.lan:3128" in line
    assert PASSWORD not in line


@pytest.mark.parametrize(
    "url",
    ["socks5://pi:s3cret-word@p:1", "pi:s3cret-word@proxy:3128", "proxy:3128", "https://p:3128", "::::", "http://p"],
)
def test_a_proxy_that_not_all_understand_is_refused_in_one_sentence(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        told(HTTPS_PROXY=url)
    assert "HTTPS_PROXY" in str(refused.value) and "http://HOST:PORT" in str(refused.value)
    assert PASSWORD not in str(refused.value)


@given(st.text(string.printable.replace("@", "").strip(), min_size=1), st.sampled_from(["http://", "socks5://", ""]))
def test_a_password_is_found_to_be_masked_whatever_the_rest(password: str, scheme: str) -> None:
    found = passwords({"https_proxy": f"{scheme}pi:{password}@proxy.lan:3128"})
    assert password in [secret.reveal() for secret in found]


def test_a_password_is_masked_as_it_is_meant_too() -> None:
    """httpx sends it so, and says so in its errors."""
    found = [secret.reveal() for secret in passwords({"HTTPS_PROXY": "http://pi:w%40rd-word@proxy.lan:3128"})]
    assert sorted(found) == ["w%40rd-word", "w@rd-word"]
