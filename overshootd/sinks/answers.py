"""What a webhook's answer means for the record that was sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from overshootd.errors import Refused, Rejected, Transient

LONGEST_WAIT = 3600.0
"""Seconds of Retry-After that are believed."""

SAID = 200
"""Characters of an answer's body that are told."""

UNAUTHORIZED = {401, 403}
PASSING = {408, 425, 429}
THIS_RECORD = {400, 409, 413, 422}
"""By these a receiver says that the record itself is at fault: too large, or not what it takes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` have small letters."""

    status: int
    headers: Mapping[str, str]
    body: str


def failure(answer: Answer, where: str) -> Transient | None:
    """Why the record is not delivered to `where`, and what would help; None when it is."""
    status = answer.status
    told = f"{where} answers with HTTP {status}{_said(answer.body)}"
    match status:
        case _ if 200 <= status < 300:
            return None
        case _ if 300 <= status < 400:
            return Refused(f"{told}: redirected to {_target(answer)}, which is not followed; set url to where it leads")
        case _ if status in UNAUTHORIZED:
            return Refused(f"{told}: look at secret and headers, here and there, and at this machine's clock")
        case 404 | 410:
            return Refused(f"{told}: set url to one that it has")
        case _ if status in PASSING or status >= 500 or status < 200:
            return Transient(told, retry_after=_retry_after(answer.headers))
        case _ if status in THIS_RECORD:
            # 409: with most it has the record already, and only our knowing of it was lost
            return Rejected(f"{told}: it does not take this record", certain=status == 409)
        case _:
            return Refused(f"{told}: look at what it expects")


def _said(body: str) -> str:
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in body[: SAID * 2]).split())
    return f" ({words[:SAID]})" if words else ""


def _target(answer: Answer) -> str:
    return answer.headers.get("location", "nowhere")[:SAID]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds. A date is taken by the server's own clock: this machine may have none yet."""
    value = headers.get("retry-after", "")
    try:
        wish = float(value) if value.strip().isdecimal() else _until(value, headers.get("date", ""))
    except (ValueError, TypeError):  # TypeError: one of the two has no time zone
        return None
    return min(max(wish, 0.0), LONGEST_WAIT)


def _until(value: str, now: str) -> float:
    return (parsedate_to_datetime(value) - parsedate_to_datetime(now)).total_seconds()
