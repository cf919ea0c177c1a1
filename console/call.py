"""`havok call`: one request to a service, as any caller would send it.

Rule: values go in the query string as they were typed; what type they must have is the
service's to say. The answer is printed digit for digit.
"""

import http.client
from collections.abc import Sequence
from urllib.parse import quote, urlencode

import msgspec

from console import terminal
from console.workplace import Workplace
from havok.addresses import address
from havok.errors import NodeError, OperatorError, Problem

ANSWER_S_MAX = 30.0
READ_BYTES = 64 * 1024
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where to call a node that listens on every interface
_PROVENANCE = "havok-"


def call(place: Workplace, service: str, values: Sequence[str], *, verbose: bool, as_json: bool) -> None:
    """Raises OperatorError with the problem in a sentence when the answer is not 200."""
    try:
        target = f"/v1/{quote(service, safe='')}"
        if values:
            target += f"?{urlencode([split(value) for value in values])}"
    except UnicodeEncodeError:
        raise OperatorError("a name or value is not UTF-8 text") from None
    listen = place.settings.node.listen
    status, headers, body = _get(listen, target)
    if verbose:
        terminal.note(f"GET {target}")
        terminal.note(f"{status} {http.client.responses.get(status, '')}")
        for name, value in headers.items():
            if name.lower().startswith(_PROVENANCE):
                terminal.note(f"{name}: {value}")
    if status != 200:
        raise _problem(place, service, status, headers, body)
    terminal.say(body.decode() if as_json else terminal.pretty(body))


def split(value: str) -> tuple[str, str]:
    """`faa=JFK` → its two halves. Raises OperatorError for anything else."""
    name, equals, text = value.partition("=")
    if not name or not equals:
        raise OperatorError(f"expected key=value, got {value!r}")
    return name, text


def _get(listen: str, target: str) -> tuple[int, dict[str, str], bytes]:
    host, port = address(listen)
    connection = http.client.HTTPConnection(_EVERYWHERE.get(host, host), port, timeout=ANSWER_S_MAX)
    try:
        connection.request("GET", target, headers={"Accept": "application/json", "Connection": "close"})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), _body(answer)
    except ConnectionRefusedError:
        raise NodeError(f"nothing listens on {listen}; start the node with: havok serve") from None
    except TimeoutError:
        raise NodeError(f"{listen} did not answer within {ANSWER_S_MAX:.0f} s") from None
    except http.client.HTTPException as error:
        raise NodeError(f"{listen} does not answer as a Havok node: {error}") from None
    finally:
        connection.close()


def _body(answer: http.client.HTTPResponse) -> bytes:
    """Raises NodeError for one that does not come whole: the node gave it up after it had begun."""
    body = bytearray()
    try:
        while piece := answer.read(READ_BYTES):
            body += piece
        if answer.length:  # of a body without chunks nothing is raised
            raise http.client.IncompleteRead(b"", answer.length)
    except (http.client.IncompleteRead, ConnectionError) as error:
        count = len(body) + (len(error.partial) if isinstance(error, http.client.IncompleteRead) else 0)
        raise NodeError(f"the answer broke off after {count:,} bytes; the node's log says why") from None
    return bytes(body)


def _problem(place: Workplace, service: str, status: int, headers: dict[str, str], body: bytes) -> OperatorError:
    try:
        found = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        return OperatorError(f"{status}: {body[:200].decode(errors='replace')}")
    advice = f"; retry in {headers['Retry-After']} s" if "Retry-After" in headers else ""
    if found.code == "no_service":
        known = ", ".join(sorted(place.settings.services)) or "none"
        advice = f"; the configuration has: {known}"
    return OperatorError(f"{found.code} ({status}): {found.detail or found.title}{advice}")
