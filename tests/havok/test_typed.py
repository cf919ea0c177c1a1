"""Tables of plain values become structs, and every fault on the way is found."""

import datetime
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from havok.settings import Settings
from havok.typed import Finding, convert, dotted, nearest, shown, unknown


class Inner(msgspec.Struct, frozen=True):
    low: float = 0.5
    names: tuple[str, ...] = ()


class Outer(msgspec.Struct, frozen=True):
    name: str
    kind: Literal["red", "green"]
    size: int = 3
    on: bool = False
    inner: Inner = Inner()
    maybe: int | None = None
    scalar: int | float | str | None = None
    by_name: dict[str, tuple[str, ...]] = {}


SOUND = {"name": "x", "kind": "red"}


def findings_of(table: object) -> list[str]:
    findings: list[Finding] = []
    convert(table, Outer, (), findings)
    return [f"{dotted(finding.path)}: {finding.reason}" for finding in findings]


def test_a_sound_table_becomes_the_struct() -> None:
    findings: list[Finding] = []
    table = {**SOUND, "inner": {"low": 1, "names": ["a"]}, "maybe": 4, "by_name": {"k": ["v"]}}
    made = convert(table, Outer, (), findings)
    assert findings == []
    assert made == Outer(name="x", kind="red", inner=Inner(low=1.0, names=("a",)), maybe=4, by_name={"k": ("v",)})
    assert isinstance(made.inner.low, float)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"size": "x"}, "size: expected an integer, got the string 'x'"),
        ({"size": 3.0}, "size: expected an integer, got the number 3.0"),
        ({"size": True}, "size: expected an integer, got the boolean true"),
        ({"size": 1 << 63}, "size: expected an integer, got an integer of more than 64 bits"),
        ({"size": 10**5000}, "size: expected an integer, got an integer of more than 64 bits"),
        ({"size": datetime.date(2013, 1, 31)}, "size: expected an integer, got the date 2013-01-31"),
        ({"size": datetime.time(5)}, "size: expected an integer, got the time 05:00:00"),
        ({"size": {}}, "size: expected an integer, got a table"),
        ({"name": ["a"]}, "name: expected a string, got an array"),
        ({"name": "y" * 99, "on": "z" * 99}, f"on: expected true or false, got the string '{'z' * 60}'…"),
        ({"on": 1}, "on: expected true or false, got the integer 1"),
        ({"kind": "gren"}, 'kind: expected one of "green", "red", got the string \'gren\'; did you mean "green"?'),
        ({"kind": 7}, 'kind: expected one of "green", "red", got the integer 7'),
        ({"inner": 2}, "inner: expected a table of low, names, got the integer 2"),
        ({"inner": {"low": "x"}}, "inner.low: expected a finite number, got the string 'x'"),
        ({"inner": {"low": float("nan")}}, "inner.low: expected a finite number, got the number nan"),
        ({"inner": {"low": True}}, "inner.low: expected a finite number, got the boolean true"),
        ({"inner": {"low": 1 << 70}}, "inner.low: expected a finite number, got an integer of more than 64 bits"),
        ({"inner": {"names": "a"}}, "inner.names: expected an array of strings, got the string 'a'"),
        ({"inner": {"names": ["a", 2]}}, "inner.names[1]: expected a string, got the integer 2"),
        ({"inner": {"nams": []}}, "inner.nams: unknown key; did you mean names?"),
        ({"zzzzzz": 1}, "zzzzzz: unknown key; known here: by_name, inner, kind, maybe, name, on, scalar, size"),
        ({"maybe": "x"}, "maybe: expected an integer, got the string 'x'"),
        ({"scalar": []}, "scalar: expected an integer or a finite number or a string, got an empty array"),
        ({"by_name": {"a b": 3}}, 'by_name."a b": expected an array of strings, got the integer 3'),
        ({"by_name": 3}, "by_name: expected a table, got the integer 3"),
    ],
)
def test_a_wrong_value_is_told_in_a_sentence(change: dict[str, object], expected: str) -> None:
    assert findings_of({**SOUND, **change}) == [expected]


def test_everything_wrong_is_found_in_one_run() -> None:
    assert findings_of({"size": "x", "inner": {"low": [], "high": 1}, "nam": "y"}) == [
        "size: expected an integer, got the string 'x'",
        "inner.low: expected a finite number, got an empty array",
        "inner.high: unknown key; known here: low, names",
        "nam: unknown key; did you mean name?",
        "name: missing; expected a string",
        'kind: missing; expected one of "green", "red"',
    ]


def test_a_date_among_scalars_is_its_text() -> None:
    findings: list[Finding] = []
    assert convert({**SOUND, "scalar": datetime.date(2013, 1, 31)}, Outer, (), findings).scalar == "2013-01-31"
    assert findings == []


def test_a_key_of_a_later_version_is_told_apart_from_a_typing_error() -> None:
    findings: list[Finding] = []
    service = {"kind": "kv", "dataset": "d", "compartment": "c", "deadline_ms": 2}
    convert({"services": {"s": service}}, Settings, (), findings)
    assert findings == [
        Finding(("services", "s", "deadline_ms"), "this version of Havok does not serve deadline_ms yet; remove it")
    ]


def test_dotted_paths_read_as_toml() -> None:
    assert dotted(("datasets", "a.b", "key", 1)) == 'datasets."a.b".key[1]'
    assert dotted(()) == ""


def test_nearest_and_unknown() -> None:
    assert nearest("aiport", ["airport", "plane"]) == "airport"
    assert nearest("zzz", ["airport"]) is None
    assert unknown("aiport", ["airport"]) == "unknown key; did you mean airport?"


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.dates()
    | st.datetimes()
    | st.times(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["node", "datasets", "services", "key", "params", "kind", "workers", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(values)
def test_any_value_is_converted_or_told(value: object) -> None:
    findings: list[Finding] = []
    made = convert(value, Settings, (), findings) if isinstance(value, dict) else None
    shown(value)
    if made is not None and not findings:
        assert msgspec.convert(msgspec.to_builtins(made), Settings) == made
