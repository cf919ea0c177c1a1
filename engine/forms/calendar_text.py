"""Dates and moments as they are stored, of any year, → numbers since 1970.

Rule: Python's calendar ends where a year has four digits; DuckDB's goes on to both sides
(`290000-01-01`, `0044-03-15 (BC)`), in the same proleptic Gregorian calendar.
"""

import re

DAY_US = 86_400_000_000

_TEXT = re.compile(r"(\d+)-(\d\d)-(\d\d)(.\(BC\))?(?:.(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?Z?)?")
_ERA_DAYS = 146_097  # 400 years
_EPOCH = 719_468  # days from 0000-03-01 to 1970-01-01


def days_of(text: str) -> int:
    """Days since 1970-01-01 of a stored date. Raises ValueError for what is none."""
    return moment_us(text) // DAY_US


def moment_us(text: str) -> int:
    """Microseconds since 1970-01-01 00:00:00 of a stored moment. Raises ValueError for what is none."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no date")
    year, month, day = int(found[1]), int(found[2]), int(found[3])
    hour, minute, second = (int(part or 0) for part in found.group(5, 6, 7))
    days = _days(1 - year if found[4] else year, month, day)
    return days * DAY_US + (hour * 3600 + minute * 60 + second) * 1_000_000 + int((found[8] or "").ljust(6, "0"))


def _days(year: int, month: int, day: int) -> int:
    """Howard Hinnant's days_from_civil: years begin in March, so that a leap day is a year's last."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month - 3) % 12) + 2) // 5 + day - 1
    return era * _ERA_DAYS + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - _EPOCH
