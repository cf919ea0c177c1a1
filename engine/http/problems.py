"""What a worker answers when it does not answer: problem documents, counted by code.

Rule: whatever went wrong, the caller gets a document with a stable code and no internals, and
the node's log has the rest; the same of the same service at most once a second, however fast callers repeat it.
"""

import logging
from collections import Counter

from engine.http.head import Head
from engine.http.responses import error_response
from havok.errors import HavokError, Internal, MethodNotAllowed

log = logging.getLogger(__name__)

SAY_AGAIN_NS = 1_000_000_000
SAID_MAX = 1024  # services times codes; then they are forgotten


class Problems:
    """`date` is what the Date header says, kept current by the server."""

    def __init__(self, compartment: str, date: bytes) -> None:
        self.date = date
        self.headers = f"Havok-Compartment: {compartment}\r\n".encode()
        self.counts: Counter[str] = Counter()
        self._said_ns: dict[tuple[str, str], int] = {}

    def count(self, error: HavokError) -> HavokError:
        self.counts[error.code] += 1
        return error

    def tell(self, service: str, code: str, sentence: str, now_ns: int) -> None:
        """To the log, what the caller is not told."""
        said_ns = self._said_ns.get((service, code))
        if said_ns is not None and now_ns - said_ns < SAY_AGAIN_NS:
            return
        if len(self._said_ns) >= SAID_MAX:
            self._said_ns.clear()
        self._said_ns[service, code] = now_ns
        log.warning("service %s: %s", service, sentence)

    def response(self, error: HavokError, headers: bytes, request: Head, *, close: bool) -> bytes:
        """The whole response to a request that was read."""
        headers = lasting(_allowing(headers, error), request, close=close)
        return error_response(error, self.date, headers, close=close, head_only=request.method == b"HEAD")

    def failure(self, request: Head, error: HavokError, *, close: bool) -> bytes:
        """The same, of what is no route's here."""
        return self.response(self.count(error), self.headers, request, close=close)

    def refusal(self, error: HavokError, *, close: bool, head_only: bool = False) -> bytes:
        """The same to one that could not be read, or is nobody's here."""
        headers = _allowing(self.headers, self.count(error))
        return error_response(error, self.date, headers, close=close, head_only=head_only)

    def internal(self, request: Head) -> Internal:
        """To be called where an exception is being handled, which is logged."""
        log.exception("a request to %r failed", request.path)
        return Internal("the request could not be answered; the fault is logged on the node")


def lasting(headers: bytes, request: Head, *, close: bool) -> bytes:
    """HTTP/1.0 must be told that a connection stays."""
    return headers if request.minor or close else headers + b"Connection: keep-alive\r\n"


def _allowing(headers: bytes, error: HavokError) -> bytes:
    return headers + b"Allow: GET, HEAD, POST\r\n" if type(error) is MethodNotAllowed else headers
