"""Rules of one parameter, among themselves."""

import pytest

from havok.param_rules import check_rules
from havok.settings import Kind, ParamSettings
from havok.typed import dotted


def faults_of(rules: ParamSettings, service: Kind = "kv") -> list[str]:
    return [f"{dotted(finding.path)}: {finding.reason}" for finding in check_rules(("p",), rules, service)]


@pytest.mark.parametrize(
    "rules",
    [
        ParamSettings(),
        ParamSettings(type="string", pattern="^[A-Z]{3}$", default="JFK"),
        ParamSettings(default=3, min=1, max=3),
        ParamSettings(min=2, max=2),
        ParamSettings(enum=("a", "b"), default="b"),
        ParamSettings(type="date", min="2013-01-01", max="2013-12-31", default="2013-02-28"),
        ParamSettings(type="timestamp", min="2013-01-01T05:00:00+05", max="2013-01-01"),
        ParamSettings(default=False),
        ParamSettings(type="string", min="B", max="a"),
    ],
)
def test_rules_that_make_sense(rules: ParamSettings) -> None:
    assert faults_of(rules) == []


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (ParamSettings(type="float"), "p.type: a key column is never a float; name the column's own type"),
        (ParamSettings(min=3, max=2), "p.min: min (3) must not be above max (2)"),
        (ParamSettings(min="b", max="a"), "p.min: min (b) must not be above max (a)"),
        (ParamSettings(type="date", min="2013-01-02", max="2013-01-01"), "p.min: min (2013-01-02) must not be above"),
        (ParamSettings(type="date", default="2013-02-30"), "p.default: expected a date, as 2013-01-31, got the string"),
        (ParamSettings(type="date", default="20130228"), "p.default: expected a date, as 2013-01-31, got the string"),
        (ParamSettings(type="timestamp", default="soon"), "p.default: expected a timestamp, as 2013-01-31T05:00:00Z"),
        (ParamSettings(type="int", default="3"), "p.default: expected an integer, got the string '3'"),
        (ParamSettings(type="int", min=0.5), "p.min: expected an integer, got the number 0.5"),
        (ParamSettings(type="string", default=3), "p.default: expected a string, got the integer 3"),
        (ParamSettings(type="bool", default=1), "p.default: expected true or false, got the integer 1"),
        (ParamSettings(type="bool", min=0), "p.min: expected true or false, got the integer 0"),
        (ParamSettings(default=3, max="x"), "p.max: expected an integer, got the string 'x'"),
        (ParamSettings(enum=("a", 2)), "p.enum[1]: expected a string, got the integer 2"),
        (ParamSettings(default=0, min=1), "p.default: 0 is below min (1)"),
        (ParamSettings(enum=(1, 5), max=4), "p.enum[1]: 5 is above max (4)"),
        (ParamSettings(enum=("a",), default="b"), "p.default: the default (b) is not in enum"),
        (ParamSettings(pattern="^a", default="b"), "p.default: the default (b) does not match the pattern"),
        (ParamSettings(type="int", pattern="a"), "p.pattern: a pattern is for strings; this parameter is an integer"),
        (ParamSettings(default=3, pattern="a"), "p.pattern: a pattern is for strings; this parameter is an integer"),
        (ParamSettings(pattern="["), "p.pattern: is no regular expression: unterminated character set at position 0"),
        (ParamSettings(pattern="a" * 1001), "p.pattern: longer than 1000 characters"),
        (ParamSettings(default=True, max=True), "p: min and max mean nothing for true and false; remove them"),
    ],
)
def test_rules_that_do_not(rules: ParamSettings, expected: str) -> None:
    faults = faults_of(rules)
    assert faults
    assert faults[0].startswith(expected)


@pytest.mark.parametrize(
    "rules",
    [
        ParamSettings(type="float", default=1, min=0.5, max=3, enum=(1, 1.5)),
        ParamSettings(default=1, min=0.5),
        ParamSettings(type="list<string>"),
        ParamSettings(type="list<string>", default=()),
        ParamSettings(type="list<string>", default=("a", "b"), pattern="^.$", enum=("a", "b"), max_items=2),
        ParamSettings(type="list<int>", default=(1, 3), min=1, max=3),
        ParamSettings(type="list<float>", default=(1, 2.5)),
        ParamSettings(type="list<bool>", default=(True, False)),
        ParamSettings(type="list<date>", default=("2013-01-31",), min="2013-01-01"),
        ParamSettings(type="list<timestamp>", default=("2013-01-31T05:00:00Z",)),
        ParamSettings(default=("a", "b"), max_items=2),  # what SQL compares it with tells the type
        ParamSettings(max_items=1),
        ParamSettings(default=()),
    ],
)
def test_rules_that_make_sense_in_sql(rules: ParamSettings) -> None:
    assert faults_of(rules, "sql") == []


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (ParamSettings(type="float", default="1.5"), "p.default: expected a number, got the string '1.5'"),
        (ParamSettings(type="float", default=True), "p.default: expected a number, got the boolean true"),
        (ParamSettings(type="float", max=1.5, default=2), "p.default: 2 is above max (1.5)"),
        (ParamSettings(type="list<int>", default=3), "p.default: expected an array of integers, got the integer 3"),
        (ParamSettings(type="list<int>", default=(1, "a")), "p.default[1]: expected an integer, got the string 'a'"),
        (ParamSettings(type="list<int>", min=2, default=(2, 1)), "p.default[1]: 1 is below min (2)"),
        (ParamSettings(type="list<int>", max=2, default=(2, 3)), "p.default[1]: 3 is above max (2)"),
        (ParamSettings(type="list<int>", enum=(2,), default=(2, 3)), "p.default[1]: the default (3) is not in enum"),
        (ParamSettings(type="list<int>", pattern="a"), "p.pattern: a pattern is for strings; this parameter is an arr"),
        (ParamSettings(type="list<date>", default=("x",)), "p.default[0]: expected a date, as 2013-01-31, got the str"),
        (
            ParamSettings(type="list<string>", default=("a", "b"), pattern="^a"),
            "p.default[1]: the default (b) does not match the pattern",
        ),
        (
            ParamSettings(type="list<string>", default=("a", "b", "c"), max_items=2),
            "p.default: the default has 3 items, more than max_items (2)",
        ),
        (ParamSettings(type="list<string>", max_items=0), "p.max_items: must be from 1 to 1000, is 0"),
        (ParamSettings(type="string", default=("a",)), "p.default: expected a string, got an array"),
        (ParamSettings(type="string", max_items=5), "p.max_items: max_items is for lists; this parameter is a string"),
        (ParamSettings(default=5, max_items=5), "p.max_items: max_items is for lists; this parameter is an integer"),
        (ParamSettings(default=("a", 5)), "p.default[1]: expected a string, got the integer 5"),
    ],
)
def test_rules_that_do_not_in_sql(rules: ParamSettings, expected: str) -> None:
    faults = faults_of(rules, "sql")
    assert len(faults) == 1
    assert faults[0].startswith(expected)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (ParamSettings(type="list<int>"), "p.type: a key column is never a list; name the column's own type"),
        (ParamSettings(default=("a",)), "p.default: expected a string, got an array"),
        (ParamSettings(default=1.5), "p.default: expected an integer, got the number 1.5"),
        (ParamSettings(max_items=5), "p.max_items: max_items is for lists; this parameter is a string"),
    ],
)
def test_no_key_column_is_a_list(rules: ParamSettings, expected: str) -> None:
    assert faults_of(rules) == [expected]
