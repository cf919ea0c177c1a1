"""The head of a request: request line and header block, strictly.

Rule: exactly one head in, facts out, or an error that closes the connection. What RFC 9112
lets a server refuse is refused when another parser could read it differently (obs-fold,
bare LF, several lengths, codings besides chunked). llhttp (httptools) checks the grammar
of the block; the framing decisions are made here. The facts of a block do not depend on
its request line, and a client repeats its block in every request: they are remembered by
its bytes, in a table of bounded size.
"""

import re

import httptools
import msgspec

from engine.forms.media import ANSWER_TYPES, JSON, ROW_TYPES, content_type, negotiate
from havok.errors import (
    BadRequest,
    BodyTooLarge,
    ExpectationFailed,
    HavokError,
    HeadersTooLarge,
    NotImplementedYet,
    TargetTooLong,
    UnsupportedMedia,
    VersionNotSupported,
)

REQUEST_LINE_MAX = 8 * 1024
HEADERS_MAX = 64
HEADER_BYTES_MAX = 16 * 1024
BODY_BYTES_MAX = 1024 * 1024
_HEAD_BYTES_MAX = REQUEST_LINE_MAX + HEADER_BYTES_MAX + 4
_REMEMBERED_MAX = 256  # distinct header blocks; a pool of clients has a few dozen
_REMEMBERED_BYTES_MAX = 2048  # so that a table is at most half a MiB

# A target has no `#` (RFC 9112, 3.2): one parser would cut there, another would not.
QUERY = rb"[!\"$-~]*"
_ORIGIN_LINE = re.compile(rb"([A-Z]{1,16}) (/[!\"$->@-~]*)(?:\?(%b))? HTTP/1\.([01])\r\n" % QUERY).match
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) ([!\"$-~]+) HTTP/1\.([01])").fullmatch
_ANY_VERSION = re.compile(rb"[A-Z]{1,16} [!\"$-~]+ HTTP/\d(?:\.\d)?").fullmatch
_AUTHORITY = re.compile(rb"https?://[^/?]+", re.IGNORECASE)
# A well-formed line that decides nothing here. Strict on purpose: what is only nearly one
# stays in the block and is llhttp's to judge. The names are all that llhttp or we act on.
_IDLE_LINE = re.compile(
    rb"^(?!(?:host|connection|proxy-connection|upgrade|content-[a-z]+|transfer-encoding|expect|accept):)"
    rb"[!#$%&'*+.^_`|~0-9a-z-]++:[\t !-~\x80-\xff]*+\r\n",
    re.IGNORECASE | re.MULTILINE,
)
_HOST = re.compile(rb"[!-~]*").fullmatch
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch


class Block(msgspec.Struct, frozen=True):
    """Facts of a header block. `length` is None without a body; `accept`, `accept_rows` None: not offered.

    `accept` is the form of a row, `accept_rows` that of a SQL service's answer.
    """

    keep_alive: bool
    length: int | None = None
    chunked: bool = False
    expects_continue: bool = False
    accept: str | None = JSON
    accept_rows: str | None = JSON
    content_type: str = JSON

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.length)

    @property
    def is_plain(self) -> bool:
        """Whether a GET with this block can be answered the fast way."""
        return self.keep_alive and self.accept == JSON == self.accept_rows and not self.has_body


class Head(msgspec.Struct, frozen=True, gc=False):
    method: bytes
    path: bytes
    query: bytes
    minor: int  # HTTP/1.<minor>
    block: Block
    size: int  # bytes of the whole head


class HeadReader:
    """Reads heads and remembers blocks. One per worker; not for several threads."""

    def __init__(self) -> None:
        # Two generations: what is asked for moves to the young one, so that headers that
        # change with every request push out each other and not what all clients share.
        self._young: dict[tuple[bytes, bytes], Block] = {}
        self._old: dict[tuple[bytes, bytes], Block] = {}

    def take(self, buffer: bytes) -> Head | None:
        """The first head in `buffer`; None when it is not all there.

        Raises an error of `havok.errors`, a limit's as soon as the head cannot become valid.
        """
        end = buffer.find(b"\r\n\r\n", 0, _HEAD_BYTES_MAX)
        match = _ORIGIN_LINE(buffer)
        if end < 0 or match is None:
            return self._unusual(buffer, end)
        start = match.end()
        if start > REQUEST_LINE_MAX + 2 or end + 2 - start > HEADER_BYTES_MAX:
            return self._unusual(buffer, end)
        method, path, query, minor = match.groups(b"")
        return Head(method, path, query, 1 if minor == b"1" else 0, self.block(minor, buffer[start : end + 4]), end + 4)

    def _unusual(self, buffer: bytes, end: int) -> Head | None:
        """A head in parts, over a limit, malformed or with an absolute target."""
        if not b"A" <= buffer[:1] <= b"Z" and buffer != b"\r":  # a CR may be half of an empty line
            raise BadRequest("this is not HTTP")
        line = buffer.find(b"\r\n", 0, REQUEST_LINE_MAX + 2)
        if line < 0 and len(buffer) > REQUEST_LINE_MAX + 1:
            raise TargetTooLong(f"the request line is longer than {REQUEST_LINE_MAX} bytes; send params in a POST body")
        # While it is not all there, up to three bytes of its end are no header bytes.
        if line >= 0 and (end if end >= 0 else len(buffer) - 3) - line > HEADER_BYTES_MAX:
            raise HeadersTooLarge(f"the headers are longer than {HEADER_BYTES_MAX} bytes")
        if end < 0:
            if _has_bare_end(buffer):
                raise BadRequest("lines end in CR LF")
            return None
        match = _REQUEST_LINE(buffer[:line])
        if match is None:
            if _ANY_VERSION(buffer[:line]):
                raise VersionNotSupported("this server speaks HTTP/1.1 and HTTP/1.0")
            raise BadRequest("the request line is malformed")
        method, target, minor = match.groups()
        path, _, query = _origin_form(target).partition(b"?")
        return Head(method, path, query, int(minor), self.block(minor, buffer[line + 2 : end + 4]), end + 4)

    def block(self, minor: bytes, block: bytes) -> Block:
        """Facts of a header block (with its blank line), from memory where possible."""
        key = minor, block
        facts = self._young.get(key)
        if facts is None:
            facts = self._old.get(key)
            if facts is None:
                facts = self._essence(minor, block)
            if len(block) <= _REMEMBERED_BYTES_MAX:
                self._remember(key, facts)
        return facts

    def _essence(self, minor: bytes, block: bytes) -> Block:
        """Facts of a block by its lines that decide any: a new trace id makes no new facts."""
        essence, idle = _IDLE_LINE.subn(b"", block)
        if not idle:
            return _read_block(block, int(minor))
        if idle + essence.count(b"\n") - 1 > HEADERS_MAX:
            raise HeadersTooLarge(f"more than {HEADERS_MAX} headers")
        return self.block(minor, essence)

    def _remember(self, key: tuple[bytes, bytes], facts: Block) -> None:
        if len(self._young) >= _REMEMBERED_MAX:
            self._old = self._young
            self._young = {}
        self._young[key] = facts


def _has_bare_end(buffer: bytes) -> bool:
    """Whether a CR or LF stands alone; the last byte may be a CR whose LF is to come."""
    whole = buffer.count(b"\r\n")
    return buffer.count(b"\n") != whole or buffer.count(b"\r") - buffer.endswith(b"\r") != whole


def _origin_form(target: bytes) -> bytes:
    """Absolute form (RFC 9112, 3.2.2) → origin form."""
    if target[:1] == b"/":
        return target
    match = _AUTHORITY.match(target)
    if match is None:
        if target == b"*":
            return target
        raise BadRequest("the request target must be a path")
    rest = target[match.end() :]
    return rest if rest[:1] == b"/" else b"/" + rest


class _Collector:
    """What httptools found in one block."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True


def _read_block(block: bytes, minor: int) -> Block:
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(b"POST / HTTP/1.%d\r\n%b" % (minor, block))
    except httptools.HttpParserUpgrade:
        pass  # we speak no other protocol: the request is served as it is (RFC 9110, 7.8)
    except httptools.HttpParserError as error:
        raise BadRequest(f"malformed headers: {_reason(error)}") from None
    if not collector.complete:
        raise BadRequest("malformed headers")
    if len(collector.headers) > HEADERS_MAX:
        raise HeadersTooLarge(f"more than {HEADERS_MAX} headers")
    values: dict[bytes, list[bytes]] = {}
    for name, value in collector.headers:
        values.setdefault(name, []).append(value)
    _check_host(values, minor)
    length, chunked = _framing(values, minor)
    if [value.strip().lower() for value in values.get(b"content-encoding", [])] not in ([], [b"identity"]):
        raise UnsupportedMedia("compressed request bodies are not accepted; send the body as it is")
    expect = [value.lower() for value in values.get(b"expect", [])]
    if expect and expect != [b"100-continue"]:
        raise ExpectationFailed("only Expect: 100-continue is understood")
    accept = b",".join(values.get(b"accept", [])).decode("latin-1")
    return Block(
        keep_alive=_keep_alive(values, minor),
        length=length,
        chunked=chunked,
        expects_continue=bool(expect) and minor == 1,
        accept=negotiate(accept, ROW_TYPES),
        accept_rows=negotiate(accept, ANSWER_TYPES),
        content_type=content_type(values.get(b"content-type", [b""])[0].decode("latin-1")),
    )


def _reason(error: HavokError | Exception) -> str:
    return str(error).splitlines()[0][:80] if str(error) else "not HTTP"


def _check_host(values: dict[bytes, list[bytes]], minor: int) -> None:
    hosts = values.get(b"host", [])
    if len(hosts) > 1 or (minor == 1 and not hosts):
        raise BadRequest("HTTP/1.1 needs exactly one Host header")
    if hosts and _HOST(hosts[0]) is None:
        raise BadRequest("the Host header is malformed")


def _framing(values: dict[bytes, list[bytes]], minor: int) -> tuple[int | None, bool]:
    """(content length, chunked). Anything two parsers could read differently is refused."""
    codings, lengths = values.get(b"transfer-encoding"), values.get(b"content-length")
    if codings is not None:
        if lengths is not None or minor == 0:
            raise BadRequest("Transfer-Encoding with Content-Length, or in HTTP/1.0, is ambiguous")
        if len(codings) != 1 or codings[0].strip().lower() != b"chunked":
            raise NotImplementedYet("the only transfer coding understood is chunked")
        return None, True
    if lengths is None:
        return None, False
    if len(lengths) != 1 or _LENGTH(lengths[0].strip(b" \t")) is None:
        raise BadRequest("Content-Length must be one number")
    length = int(lengths[0])
    if length > BODY_BYTES_MAX:
        raise BodyTooLarge(f"the body is longer than {BODY_BYTES_MAX} bytes; send fewer keys at a time")
    return length, False


def _keep_alive(values: dict[bytes, list[bytes]], minor: int) -> bool:
    tokens = {token.strip().lower() for value in values.get(b"connection", []) for token in value.split(b",")}
    return b"close" not in tokens if minor == 1 else b"keep-alive" in tokens and b"close" not in tokens
