"""Responses as bytes: status line, headers, body.

Rule: what does not change from request to request is built once. `Date` changes once a
second (RFC 9110 asks an origin server with a clock for it), so heads are stamped then.
"""

import email.utils
import http

import msgspec

from havok.errors import HavokError, problem

LENGTHS_MAX = 16 * 1024  # rows up to this size have their Content-Length line ready
WRAP_BYTES = len(b'{"data":}')
# LENGTHS[n]: the end of the head and the start of the body for n bytes of data.
LENGTHS = tuple(b'Content-Length: %d\r\n\r\n{"data":' % (size + WRAP_BYTES) for size in range(LENGTHS_MAX))
_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in http.HTTPStatus
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_encode = msgspec.json.Encoder().encode
PROBLEM_JSON = "application/problem+json"


def http_date(unix_s: float) -> bytes:
    """IMF-fixdate, e.g. `Mon, 23 Nov 2026 08:00:00 GMT`."""
    return email.utils.formatdate(unix_s, usegmt=True).encode()


def head(status: int, date: bytes, headers: bytes, content_type: str) -> bytes:
    """Everything before Content-Length; `headers` are whole lines."""
    return b"%bDate: %b\r\n%bContent-Type: %b\r\n" % (_STATUS_LINES[status], date, headers, content_type.encode())


def response(start: bytes, body: bytes, *, close: bool = False, head_only: bool = False) -> bytes:
    """A head as `head` makes it, and a body, into one message; to HEAD without the body."""
    connection = b"Connection: close\r\n" if close else b""
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (start, connection, len(body), b"" if head_only else body)


def error_response(
    error: HavokError, date: bytes, headers: bytes = b"", *, close: bool = False, head_only: bool = False
) -> bytes:
    """RFC 9457 problem document, with Retry-After where waiting helps."""
    if error.retry_after_s is not None:
        headers += b"Retry-After: %d\r\n" % error.retry_after_s
    start = head(error.status, date, headers, PROBLEM_JSON)
    return response(start, _encode(problem(error)), close=close, head_only=head_only)
