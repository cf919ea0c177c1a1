"""Responses as bytes."""

import email.utils
import http

import msgspec
import pytest

from engine.http.responses import LENGTHS, LENGTHS_MAX, WRAP_BYTES, error_response, head, http_date, response
from havok import errors
from havok.errors import BadParam, HavokError, RateLimited
from tests.engine.making import DATE
from tests.engine.wire import parse_answers


def request_errors() -> list[HavokError]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HavokError)]
    sent = [kind for kind in kinds if not issubclass(kind, errors.OperatorError)]
    return [BadParam("p", "rule", "detail") if kind is BadParam else kind("detail") for kind in sent]


def test_dates() -> None:
    assert http_date(0) == b"Thu, 01 Jan 1970 00:00:00 GMT"
    now = 1795680000.9
    assert email.utils.parsedate_to_datetime(http_date(now).decode()).timestamp() == int(now)


def test_a_whole_response() -> None:
    start = head(200, DATE, b"Havok-Compartment: c\r\n", "application/json")
    [answer] = parse_answers(response(start, b"{}"))
    assert (answer.status, answer.body, answer.closes) == (200, b"{}", False)
    assert answer.headers == {
        "date": DATE.decode(),
        "havok-compartment": "c",
        "content-type": "application/json",
        "content-length": "2",
    }
    [closing] = parse_answers(response(start, b"{}", close=True, head_only=True), ["HEAD"])
    assert (closing.headers["content-length"], closing.body, closing.closes) == ("2", b"", True)


@pytest.mark.parametrize("error", request_errors(), ids=lambda error: type(error).__name__)
def test_every_error_is_a_problem(error: HavokError) -> None:
    [answer] = parse_answers(error_response(error, DATE, b"Havok-Compartment: c\r\n"))
    assert answer.status == error.status
    assert answer.status in list(http.HTTPStatus)
    assert answer.code == error.code
    problem = answer.json()
    assert problem["title"] == error.title
    assert ("param" in problem, "rule" in problem) == (isinstance(error, BadParam),) * 2
    assert answer.headers["havok-compartment"] == "c"
    assert "retry-after" not in answer.headers


def test_retry_after() -> None:
    [answer] = parse_answers(error_response(RateLimited("slow down", retry_after_s=3), DATE))
    assert (answer.status, answer.headers["retry-after"]) == (429, "3")


def test_a_detail_of_any_text() -> None:
    detail = 'quote " line\r\nHavok-Version: x\x00 ä 🛫'
    [answer] = parse_answers(error_response(HavokError(detail), DATE))
    assert msgspec.json.decode(answer.body)["detail"] == detail


def test_ready_lengths() -> None:
    for size in (0, 1, 9, 91, LENGTHS_MAX - 1):
        assert LENGTHS[size] == b'Content-Length: %d\r\n\r\n{"data":' % (size + WRAP_BYTES)
    assert len(LENGTHS) == LENGTHS_MAX
