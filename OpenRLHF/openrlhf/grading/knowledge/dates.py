"""Dates: "Jan 5, 2024", "5th of January 2024", "2024-01-05"."""

import re
from typing import NamedTuple

_MONTHS = [
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
]  # fmt: skip
_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_MONTH = r"(?P<month>[a-z]{3,9})\.?"
_DAY = r"(?P<day>\d{1,2}) ?(?:st|nd|rd|th)?"
_YEAR = r"(?:,? ?(?P<year>\d{4}))?"
_WEEKDAY = r"(?:(?P<weekday>[a-z]{3,9})\.?,? )?"
_SPELLINGS = (
    re.compile(rf"{_WEEKDAY}{_MONTH} {_DAY}{_YEAR}"),
    re.compile(rf"{_WEEKDAY}{_DAY} ?(?:of )?{_MONTH}{_YEAR}"),
    re.compile(r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"),
    re.compile(r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})"),
    re.compile(r"(?:(?P<year>\d{4}) ?年 ?)?(?P<month>\d{1,2}) ?月 ?(?P<day>\d{1,2}) ?[日号]"),
)


class Date(NamedTuple):
    """A day of a year; `year` and `weekday` are None where they are not said."""

    month: int
    day: int
    year: int | None
    weekday: int | None


def date(words: str) -> Date | None:
    """The date that plain words name; None for other text. 1/5/2024 has the month first."""
    for spelling in _SPELLINGS:
        if match := spelling.fullmatch(words):
            found = match.groupdict()
            month, weekday = _number(found["month"], _MONTHS), _number(found.get("weekday"), _DAYS)
            day = int(found["day"])
            if month is None or not 1 <= month <= 12 or not 1 <= day <= 31 or weekday == 0:
                return None
            return Date(month, day, int(found["year"]) if found["year"] else None, weekday)
    return None


def same_date(first: Date, second: Date) -> bool:
    """The same day, in the same year where either names one; a weekday may be left out."""
    weekdays = {first.weekday, second.weekday} - {None}
    return first[:3] == second[:3] and len(weekdays) < 2


def _number(word: str | None, names: list[str]) -> int | None:
    """The place of a name or its abbreviation; 0 for a word that is neither, None for no word."""
    if word is None or word.isdigit():
        return None if word is None else int(word)
    return next((place for place, name in enumerate(names, 1) if _abbreviates(word, name)), 0)


def _abbreviates(word: str, name: str) -> bool:
    return word == name or (name.startswith(word) and (len(word) == 3 or word in ("sept", "tues", "thur", "thurs")))
