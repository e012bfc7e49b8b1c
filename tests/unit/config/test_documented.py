"""What the documentation says of the keys is what the model has."""

import re
from pathlib import Path

from overshootd.config.brokers import BrokerConfig, BrokerTls

SINKS = Path(__file__).parents[3] / "docs" / "sinks.md"


def _table(head: str) -> dict[str, str]:
    """The defaults of the table that begins so, by key."""
    rows = SINKS.read_text().partition(f"| {head} | default | |\n|---|---|---|\n")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| `(\S+)` \| (.*?) ?\|", rows, re.MULTILINE))


def test_all_keys_of_a_broker_are_documented_and_no_others() -> None:
    keys = BrokerConfig.model_fields.keys() - {"tls"} | {f"tls.{key}" for key in BrokerTls.model_fields}
    assert _table("key of the broker").keys() == keys


def test_the_defaults_of_a_broker_are_documented() -> None:
    defaults = {key: field.default for key, field in BrokerConfig.model_fields.items()}
    plain = {key: str(value) for key, value in defaults.items() if isinstance(value, str | int)}
    documented = _table("key of the broker")
    assert {key: documented[key].strip("`") for key in plain} == plain
