"""A device that nobody named still has a name of its own."""

import re

import pytest

from overshootd.config.device import STOCK, device_name
from overshootd.config.model import NAME


def test_a_host_name_that_somebody_gave_is_taken() -> None:
    assert device_name("gate-pi", "0" * 32) == "gate-pi"
    assert device_name("gate-pi.lan.example", "0" * 32) == "gate-pi"


@pytest.mark.parametrize("stock", sorted(STOCK))
def test_a_stock_name_gets_a_suffix_that_differs_per_machine_and_hides_its_id(stock: str) -> None:
    one, other = device_name(stock, "1f" * 16 + "\n"), device_name(stock, "2f" * 16)
    assert one == device_name(stock, "1f" * 16) != other
    assert re.fullmatch(rf"{stock}-[0-9a-f]{{6}}", one)
    assert "1f1f1f" not in one


def test_without_a_machine_id_the_host_name_must_do() -> None:
    assert device_name("raspberrypi", "") == "raspberrypi"


@pytest.mark.parametrize("hostname", ["", "a b", "-x-", "ü", "x" * 300, ".", "(none)", "under_score"])
def test_it_is_always_a_valid_name(hostname: str) -> None:
    assert re.fullmatch(NAME, device_name(hostname, "1f" * 16))
