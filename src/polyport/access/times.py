"""Times as people write them: `90d` from now, a date, an RFC 3339 time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from polyport.errors import ConfigurationError

_SPAN = re.compile(r"([1-9]\d{0,5})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str) -> timedelta:
    """`90d`, `12h`, `2w`, `30m`, `45s` as a time span; `0` is none.

    Raises:
        ConfigurationError: It is not written so.
    """
    if text == "0":
        return timedelta(0)
    found = _SPAN.fullmatch(text.strip())
    if not found:
        raise ConfigurationError(f"{text[:40]!r} is not a time span", fix="90d, 12h, 2w, 30m, 45s")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(text: str, now: datetime | None = None) -> datetime:
    """The time that `text` means: `90d` from now, `2027-01-31`, or an RFC 3339 time; UTC where no zone is named.

    Raises:
        ConfigurationError: It is none of them.
    """
    try:
        if _SPAN.fullmatch(text.strip()):
            return (now or datetime.now(UTC)) + span(text)
        found = datetime.fromisoformat(text.strip())
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{text[:40]!r} is not a time", fix="90d, 2027-01-31 or 2027-01-31T12:00:00Z"
        ) from None
