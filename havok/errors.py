"""Every error a caller can meet, as one tree.

Rule: an error carries a stable `code`, an HTTP `status`, a sentence saying what went
wrong and what to do, and, where waiting helps, `retry_after_s`. Messages are written
for the caller: no stack trace, no internal path.

    HavokError
    ├── RequestError            the caller's fault (4xx)
    │   ├── BadRequest          400 bad_request     not HTTP, not JSON, not an object
    │   ├── BadParam            400 bad_param       names the parameter and the rule
    │   ├── NotFound            404 not_found       no such row
    │   ├── NoService           404 no_service      no such service
    │   ├── MethodNotAllowed    405 method_not_allowed
    │   ├── NotAcceptable       406 not_acceptable
    │   ├── RequestTimeout      408 request_timeout
    │   ├── SlowReader          408 slow_reader     an answer was taken too slowly; seen in counts, its head was sent
    │   ├── BodyTooLarge        413 body_too_large
    │   ├── TargetTooLong       414 target_too_long
    │   ├── UnsupportedMedia    415 unsupported_media_type
    │   ├── ExpectationFailed   417 expectation_failed
    │   ├── QueryFailed         422 query_failed    the values asked for cannot be calculated
    │   ├── OutOfMemory         422 out_of_memory   a query needs more memory than its executor may take
    │   ├── TooManyRows         422 too_many_rows   the answer takes more rows than the service may read
    │   ├── AnswerTooLarge      422 answer_too_large  more bytes than a format may have that comes whole
    │   ├── HeadersTooLarge     431 headers_too_large
    │   └── RateLimited         429 rate_limited
    ├── ServerError             ours (5xx)
    │   ├── Internal            500 internal
    │   ├── NotImplementedYet   501 not_implemented
    │   ├── Overloaded          503 overloaded
    │   ├── StoreDown           503 store_down
    │   ├── NoVersion           503 no_version      the dataset has no live version
    │   ├── Draining            503 draining
    │   ├── QueryTimeout        504 query_timeout   a query took longer than its service allows
    │   └── VersionNotSupported 505 http_version_not_supported
    └── OperatorError           a command was refused; never sent to a data caller
        ├── ConfigError         one or more `Fault`s
        ├── LoadError           the source or the build failed
        ├── DatasetBusy         another process loads or rolls back the dataset
        ├── GateFailed          a quality gate refused the candidate
        ├── DamagedVersion      a snapshot on disk is not what its manifest says
        ├── NoSuchVersion       the dataset has no version of that id
        └── NodeError           the node is not running, busy or refused
"""

from typing import ClassVar

import msgspec


class HavokError(Exception):
    """Root of the tree; `detail` is one sentence for the reader."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str = "", *, retry_after_s: int | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after_s = retry_after_s


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem document; `type` is a relative reference that names the code."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    param: str | None = None
    rule: str | None = None


def problem(error: HavokError) -> Problem:
    """The public face of an error."""
    return Problem(
        type=f"/problems/{error.code}",
        title=error.title,
        status=error.status,
        code=error.code,
        detail=error.detail,
        param=error.param if isinstance(error, BadParam) else None,
        rule=error.rule if isinstance(error, BadParam) else None,
    )


class RequestError(HavokError):
    code = "bad_request"
    status = 400
    title = "Bad request"


class BadRequest(RequestError):
    pass


class BadParam(RequestError):
    """A parameter is missing, unknown, repeated, of the wrong type or outside a rule."""

    code = "bad_param"
    title = "Bad parameter"

    def __init__(self, param: str, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.param = param
        self.rule = rule


class NotFound(RequestError):
    code = "not_found"
    status = 404
    title = "Not found"


class NoService(RequestError):
    code = "no_service"
    status = 404
    title = "No such service"


class MethodNotAllowed(RequestError):
    code = "method_not_allowed"
    status = 405
    title = "Method not allowed"


class NotAcceptable(RequestError):
    code = "not_acceptable"
    status = 406
    title = "Not acceptable"


class RequestTimeout(RequestError):
    code = "request_timeout"
    status = 408
    title = "Request timeout"


class SlowReader(RequestError):
    code = "slow_reader"
    status = 408
    title = "Answer read too slowly"


class BodyTooLarge(RequestError):
    code = "body_too_large"
    status = 413
    title = "Body too large"


class TargetTooLong(RequestError):
    code = "target_too_long"
    status = 414
    title = "Request line too long"


class UnsupportedMedia(RequestError):
    code = "unsupported_media_type"
    status = 415
    title = "Unsupported media type"


class ExpectationFailed(RequestError):
    code = "expectation_failed"
    status = 417
    title = "Expectation failed"


class QueryFailed(RequestError):
    """`seen`: what was met, for the node's log alone: it may be a value of a row that the caller cannot ask for."""

    code = "query_failed"
    status = 422
    title = "Query failed"

    def __init__(self, detail: str = "", *, seen: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.seen = seen


class OutOfMemory(RequestError):
    """422, not 503: the same query over the same rows needs as much again."""

    code = "out_of_memory"
    status = 422
    title = "Out of memory"


class TooManyRows(RequestError):
    code = "too_many_rows"
    status = 422
    title = "Too many rows"


class AnswerTooLarge(RequestError):
    code = "answer_too_large"
    status = 422
    title = "Answer too large"


class RateLimited(RequestError):
    code = "rate_limited"
    status = 429
    title = "Rate limited"


class HeadersTooLarge(RequestError):
    code = "headers_too_large"
    status = 431
    title = "Request headers too large"


class ServerError(HavokError):
    pass


class Internal(ServerError):
    pass


class NotImplementedYet(ServerError):
    code = "not_implemented"
    status = 501
    title = "Not implemented"


class Overloaded(ServerError):
    code = "overloaded"
    status = 503
    title = "Overloaded"


class StoreDown(ServerError):
    code = "store_down"
    status = 503
    title = "Store down"


class NoVersion(ServerError):
    code = "no_version"
    status = 503
    title = "No live version"


class Draining(ServerError):
    code = "draining"
    status = 503
    title = "Draining"


class QueryTimeout(ServerError):
    """504, not 422: the request may be fine, and what answers it, another process, was not done in time (RFC 9110,
    15.6.5). No Retry-After: the same query over the same rows takes as long again."""

    code = "query_timeout"
    status = 504
    title = "Query timeout"


class VersionNotSupported(ServerError):
    code = "http_version_not_supported"
    status = 505
    title = "HTTP version not supported"


class OperatorError(HavokError):
    """A command was refused; the detail says why and what to do."""

    code = "refused"
    title = "Refused"


class Fault(msgspec.Struct, frozen=True):
    """One thing wrong in the configuration: which file, which dotted key, why."""

    file: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.reason}" if self.key else f"{self.file}: {self.reason}"


class ConfigError(OperatorError):
    code = "bad_config"
    title = "Bad configuration"

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = faults


class LoadError(OperatorError):
    code = "load_failed"
    title = "Load failed"


class DatasetBusy(LoadError):
    code = "dataset_busy"
    title = "Dataset busy"


class GateFailed(LoadError):
    code = "gate_failed"
    title = "Quality gate failed"


class DamagedVersion(OperatorError):
    code = "damaged_version"
    title = "Damaged version"


class NoSuchVersion(OperatorError):
    code = "no_such_version"
    title = "No such version"


class NodeError(OperatorError):
    code = "node"
    title = "Node refused"
