"""The tree of errors: stable codes, statuses that fit, and a docstring that lists them all."""

import inspect
import re

import msgspec
import pytest

from havok import errors
from havok.errors import BadParam, ConfigError, Fault, HavokError, OperatorError, RateLimited, RequestError, ServerError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, HavokError)]
SENT = [kind for kind in CLASSES if issubclass(kind, RequestError | ServerError)]
_TREE = re.compile(r"── (?P<name>\w+) +(?P<status>\d{3}) (?P<code>\w+)")

CODES_MAY_REPEAT = {"internal", "bad_request"}  # a root shares its code with the plain case


@pytest.mark.parametrize("kind", SENT)
def test_whose_fault_it_is_shows_in_the_status(kind: type[HavokError]) -> None:
    assert kind.status // 100 == (4 if issubclass(kind, RequestError) else 5)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert kind.title[0].isupper()


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in SENT if kind.code not in CODES_MAY_REPEAT]
    assert len(codes) == len(set(codes))


def test_the_docstring_is_the_tree() -> None:
    told = {found["name"]: (int(found["status"]), found["code"]) for found in _TREE.finditer(errors.__doc__ or "")}
    leaves = {kind.__name__: (kind.status, kind.code) for kind in SENT if not kind.__subclasses__()}
    assert told == leaves


def test_a_problem_is_the_public_face() -> None:
    error = BadParam("year", "min", "parameter year must be at least 2013")
    assert msgspec.to_builtins(errors.problem(error)) == {
        "type": "/problems/bad_param",
        "title": "Bad parameter",
        "status": 400,
        "code": "bad_param",
        "detail": "parameter year must be at least 2013",
        "param": "year",
        "rule": "min",
    }
    plain = msgspec.to_builtins(errors.problem(RateLimited(retry_after_s=3)))
    assert plain["detail"] == "Rate limited"
    assert "param" not in plain


def test_waiting_is_told_only_where_it_helps() -> None:
    assert RateLimited(retry_after_s=3).retry_after_s == 3
    assert HavokError("x").retry_after_s is None


def test_a_config_error_holds_every_fault() -> None:
    error = ConfigError([Fault("a.toml", "node.name", "is empty"), Fault("b.toml", "", "is not UTF-8")])
    assert isinstance(error, OperatorError)
    assert str(error) == "a.toml: node.name: is empty; b.toml: is not UTF-8"
    assert [fault.file for fault in error.faults] == ["a.toml", "b.toml"]
