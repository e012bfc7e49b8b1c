"""What a stream costs, as its keepalives tell it: plain functions of the last response.

Streaming time is charged at each keepalive (api/README.md), and the contract does not say whether `seconds_charged` and
`cost_cents` are of that keepalive or of the whole stream. They are taken as what that keepalive charged, which is what
their names say beside `credits_remaining_cents`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from overshootd.contracts import Spent

NOTHING = Spent()

MOST = 1e9
"""Seconds, or cents. Nobody streams for thirty years, nor has ten million dollars there: more is a mistake."""


@dataclass(frozen=True, slots=True)
class Charges:
    """Up to the monotonic time `until` what was `spent` is known; `rate` is cents a second, as charged last."""

    until: float
    spent: Spent = NOTHING
    rate: float = 0.0

    def told(self, body: Mapping[str, Any], sent: float) -> Charges:
        """A keepalive that was sent then was answered with that. What it does not say is the time that passed."""
        seconds, cents = _amount(body.get("seconds_charged")), _amount(body.get("cost_cents"))
        left = _amount(body.get("credits_remaining_cents"))
        seconds = max(0.0, sent - self.until) if seconds is None else seconds
        rate = cents / seconds if cents is not None and seconds > 0 else self.rate
        return Charges(sent, self._plus(seconds, cents or 0.0, left), rate)

    def ended(self, at: float) -> Charges:
        """The stream ended then: no answer tells what that cost, so the rest is charged as the last was."""
        rest = max(0.0, at - self.until)
        return replace(self, until=at, spent=self._plus(rest, rest * self.rate, self.spent.left))

    def _plus(self, seconds: float, cents: float, left: float | None) -> Spent:
        return Spent(self.spent.seconds + seconds, self.spent.cents + cents, left)


def _amount(value: object) -> float | None:
    """None for what makes no sense."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= MOST else None
