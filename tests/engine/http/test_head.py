"""Heads: limits to the byte, what is refused, and that remembering changes nothing."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.forms.media import JSON, MSGPACK, ROW_TYPES, negotiate
from engine.http import head as heads
from engine.http.head import (
    BODY_BYTES_MAX,
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    REQUEST_LINE_MAX,
    Block,
    Head,
    HeadReader,
)
from havok.errors import HavokError
from tests.engine.wire import get


def outcome(data: bytes) -> Head | str | None:
    try:
        return HeadReader().take(data)
    except HavokError as error:
        return error.code


def block_of(*lines: str, minor: int = 1, host: bool = True) -> Block | str:
    text = "".join(f"{line}\r\n" for line in ([*(["Host: a"] if host else []), *lines]))
    try:
        return HeadReader().block(b"%d" % minor, text.encode("latin-1") + b"\r\n")
    except HavokError as error:
        return error.code


def test_the_facts_of_a_head() -> None:
    data = get("/v1/airport?faa=%41&x=?/#"[:-1], "Accept: application/msgpack", "Connection: close")
    head = outcome(data + b"GET /next")
    assert isinstance(head, Head)
    assert (head.method, head.path, head.query, head.minor, head.size) == (
        b"GET",
        b"/v1/airport",
        b"faa=%41&x=?/",
        1,
        len(data),
    )
    assert head.block == Block(keep_alive=False, accept=MSGPACK, accept_rows=MSGPACK)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("GET /a HTTP/1.1", (b"/a", b"", 1)),
        ("GET /a? HTTP/1.0", (b"/a", b"", 0)),
        ("GET / HTTP/1.1", (b"/", b"", 1)),
        ("GET //a//b HTTP/1.1", (b"//a//b", b"", 1)),
        ("GET http://h/a?b HTTP/1.1", (b"/a", b"b", 1)),
        ("GET HTTP://user@h:80?b=/c HTTP/1.1", (b"/", b"b=/c", 1)),
        ("GET https://h HTTP/1.1", (b"/", b"", 1)),
        ("OPTIONS * HTTP/1.1", (b"*", b"", 1)),
        ("GET /a#b HTTP/1.1", "bad_request"),
        ("GET /a?b#c HTTP/1.1", "bad_request"),
        ("GET a HTTP/1.1", "bad_request"),
        ("GET http:///a HTTP/1.1", "bad_request"),
        ("GET ftp://h/a HTTP/1.1", "bad_request"),
        ("CONNECT h:443 HTTP/1.1", "bad_request"),
        ("GET /a\u00e4 HTTP/1.1", "bad_request"),
        ("GET /a\tb HTTP/1.1", "bad_request"),
        ("GET  /a HTTP/1.1", "bad_request"),
        ("GET /a  HTTP/1.1", "bad_request"),
        ("GET /a b HTTP/1.1", "bad_request"),
        (" GET /a HTTP/1.1", "bad_request"),
        ("GET /a HTTP/1.1 ", "bad_request"),
        ("GET /a", "bad_request"),
        ("GET /a http/1.1", "bad_request"),
        ("GET /a HTTP/1.10", "bad_request"),
        ("GET /a HTTP/01.1", "bad_request"),
        ("get /a HTTP/1.1", "bad_request"),
        ("G\u00cbT /a HTTP/1.1", "bad_request"),
        ("A" * 17 + " /a HTTP/1.1", "bad_request"),
        ("GET /a HTTP/2.0", "http_version_not_supported"),
        ("GET /a HTTP/1.2", "http_version_not_supported"),
        ("PRI * HTTP/2", "http_version_not_supported"),
        ("", "bad_request"),
        ("\x16\x03\x01\x02\x00\x01\x00", "bad_request"),  # TLS
    ],
)
def test_request_lines(line: str, wanted: tuple[bytes, bytes, int] | str) -> None:
    found = outcome(line.encode("latin-1") + b"\r\nHost: a\r\n\r\n")
    assert wanted == ((found.path, found.query, found.minor) if isinstance(found, Head) else found)


def test_the_limit_of_the_request_line_is_exact() -> None:
    for extra, wanted in ((0, None), (1, "target_too_long")):
        line = b"GET /" + b"a" * (REQUEST_LINE_MAX + extra - len(b"GET / HTTP/1.1")) + b" HTTP/1.1"
        data = line + b"\r\nHost: a\r\n\r\n"
        codes = {outcome(data[:size]) for size in range(len(line) - 3, len(data))}
        assert codes == {None} if wanted is None else codes <= {None, wanted}
        found = outcome(data)
        assert isinstance(found, Head) if wanted is None else found == wanted
    assert outcome(b"A" * (REQUEST_LINE_MAX + 1)) is None, "a CR LF may still follow"
    assert outcome(b"A" * (REQUEST_LINE_MAX + 2)) == "target_too_long"


@pytest.mark.parametrize("data", [b"\x16\x03\x01", b"\x00", b"get /", b" GET", b"\n", b"\rX", b"\xff" * 9000])
def test_what_cannot_become_a_request_is_not_waited_for(data: bytes) -> None:
    assert outcome(data) == "bad_request"


@pytest.mark.parametrize("data", [b"G", b"\r", b"GET", b"GET / HTTP/1.1\r\nHost: a\r\n\r"])
def test_what_can_become_one_is(data: bytes) -> None:
    assert outcome(data) is None


def test_the_limit_of_the_header_bytes_is_exact() -> None:
    for extra, wanted in ((0, None), (1, "headers_too_large")):
        value = "a" * (HEADER_BYTES_MAX + extra - len("\r\nHost: havok.test\r\nX: "))
        data = get("/", f"X: {value}")
        codes = {outcome(data[:size]) for size in range(len(data) - 8, len(data))}
        assert codes == {None} if wanted is None else codes <= {None, wanted}
        found = outcome(data)
        assert isinstance(found, Head) if wanted is None else found == wanted
    endless = get("/")[:-2] + b"X: " + b"a" * (2 * HEADER_BYTES_MAX)
    assert outcome(endless) == "headers_too_large"


@pytest.mark.parametrize("name", ["X", "Accept", "Connection"])
def test_the_limit_of_the_number_of_headers_is_exact(name: str) -> None:
    for count, wanted in ((HEADERS_MAX - 1, Head), (HEADERS_MAX, str)):
        found = outcome(get("/", *(f"{name}: v{number}" for number in range(count))))
        assert type(found) is wanted, found
    assert outcome(get("/", *(f"{name}: v{number}" for number in range(HEADERS_MAX)))) == "headers_too_large"


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        (["Content-Length: 5"], Block(keep_alive=True, length=5)),
        (["content-length:5"], Block(keep_alive=True, length=5)),
        (["Content-Length: \t5 \t"], Block(keep_alive=True, length=5)),
        (["Content-Length: 00005"], Block(keep_alive=True, length=5)),
        (["Content-Length: 0"], Block(keep_alive=True, length=0)),
        ([f"Content-Length: {BODY_BYTES_MAX}"], Block(keep_alive=True, length=BODY_BYTES_MAX)),
        ([f"Content-Length: {BODY_BYTES_MAX + 1}"], "body_too_large"),
        (["Content-Length: 999999999999999999"], "body_too_large"),
        (["Content-Length: 99999999999999999999999"], "bad_request"),
        (["Content-Length: +5"], "bad_request"),
        (["Content-Length: -5"], "bad_request"),
        (["Content-Length: 5,5"], "bad_request"),
        (["Content-Length: 5 5"], "bad_request"),
        (["Content-Length: 0x5"], "bad_request"),
        (["Content-Length: 5;x"], "bad_request"),
        (["Content-Length:"], "bad_request"),
        (["Content-Length: \u00b2"], "bad_request"),
        (["Content-Length: 5", "Content-Length: 5"], "bad_request"),
        (["Content-Length: 5", "content-length: 6"], "bad_request"),
        (["Content-Length: 5", "Transfer-Encoding: chunked"], "bad_request"),
        (["Transfer-Encoding: chunked", "Content-Length: 5"], "bad_request"),
        (["Transfer-Encoding: chunked"], Block(keep_alive=True, chunked=True)),
        (["Transfer-Encoding: \tCHUNKED "], Block(keep_alive=True, chunked=True)),
        (["Transfer-Encoding: gzip, chunked"], "not_implemented"),
        (["Transfer-Encoding: chunked, gzip"], "bad_request"),
        (["Transfer-Encoding: chunked, chunked"], "bad_request"),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "bad_request"),
        (["Transfer-Encoding: identity"], "bad_request"),
        (["Transfer-Encoding: xchunked"], "bad_request"),
        (["Transfer-Encoding: \x0bchunked"], "bad_request"),
        (["Transfer-Encoding:"], "bad_request"),
        (["Transfer-Encoding : chunked"], "bad_request"),
        (["Transfer-Encoding\t: chunked"], "bad_request"),
        (['Transfer-Encoding: "chunked"'], "bad_request"),
        (["Host: b"], "bad_request"),
        (["X: a", " folded"], "bad_request"),
        (["X: a", "\tfolded"], "bad_request"),
        (["X : a"], "bad_request"),
        ([" X: a"], "bad_request"),
        (["X"], "bad_request"),
        ([": a"], "bad_request"),
        (["X\x80: a"], "bad_request"),
        (["X(: a"], "bad_request"),
        (["X: a\x00b"], "bad_request"),
        (["X: a\x01b"], "bad_request"),
        (["X: a\x7fb"], "bad_request"),
        (["X: a\rb"], "bad_request"),
        (["X: a\nb: c"], "bad_request"),
        (["X: a\n"], "bad_request"),
        (["X:", "Y: \u00e4\xff", "Z:\t \t"], Block(keep_alive=True)),
        (["Connection: close"], Block(keep_alive=False)),
        (["Connection: keep-alive, CLOSE"], Block(keep_alive=False)),
        (["Connection: x", "Connection: close"], Block(keep_alive=False)),
        (["Connection: Upgrade", "Upgrade: websocket"], Block(keep_alive=True)),
        (["Connection: Upgrade", "Upgrade: h2c", "Content-Length: 3"], Block(keep_alive=True, length=3)),
        (["Proxy-Connection: close"], Block(keep_alive=True)),
        (["Expect: 100-continue"], Block(keep_alive=True, expects_continue=True)),
        (["Expect: 100-CONTINUE"], Block(keep_alive=True, expects_continue=True)),
        (["Expect: 200-ok"], "expectation_failed"),
        (["Expect: 100-continue", "Expect: 100-continue"], "expectation_failed"),
        (["Content-Encoding: gzip"], "unsupported_media_type"),
        (["Content-Encoding: identity, gzip"], "unsupported_media_type"),
        (["Content-Encoding: Identity"], Block(keep_alive=True)),
        (["Content-Type: application/msgpack; x=y"], Block(keep_alive=True, content_type=MSGPACK)),
        (["Content-Type: Application/JSON; charset=utf-8"], Block(keep_alive=True)),
        (["Content-Type: application/x-www-form-urlencoded"], Block(keep_alive=True)),
        (["Content-Type: application/merge+json"], Block(keep_alive=True)),
        (["Content-Type: text/xml"], Block(keep_alive=True, content_type="text/xml")),
    ],
)
def test_header_blocks(lines: list[str], wanted: Block | str) -> None:
    assert block_of(*lines) == wanted


@pytest.mark.parametrize(
    ("minor", "lines", "wanted"),
    [
        (1, [], "bad_request"),
        (1, ["Host:"], Block(keep_alive=True)),
        (1, ["Host: a b"], "bad_request"),
        (1, ["Host: a", "Host: a"], "bad_request"),
        (0, [], Block(keep_alive=False)),
        (0, ["Host: a", "Host: b"], "bad_request"),
        (0, ["Connection: keep-alive"], Block(keep_alive=True)),
        (0, ["Connection: Keep-Alive, close"], Block(keep_alive=False)),
        (0, ["Transfer-Encoding: chunked"], "bad_request"),
        (0, ["Expect: 100-continue"], Block(keep_alive=False)),
    ],
)
def test_hosts_and_versions(minor: int, lines: list[str], wanted: Block | str) -> None:
    assert block_of(*lines, minor=minor, host=False) == wanted


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/problem+json", JSON),
        ("application/msgpack", MSGPACK),
        ("application/x-msgpack", MSGPACK),
        ("application/vnd.msgpack;q=0.5", MSGPACK),
        ("application/msgpack, application/json", JSON),
        ("application/msgpack, application/json;q=0.9", MSGPACK),
        ("application/msgpack;q=0.2, */*;q=0.1", MSGPACK),
        ("application/json;q=0, */*", MSGPACK),
        ("application/json;q=0, application/*;q=0.5", MSGPACK),
        ("application/json;q=0", None),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        ("text/html", None),
        ("text/csv", None),
        ("*/*;q=0", None),
        ("application/json;q=x", None),
        ("APPLICATION/MSGPACK", MSGPACK),
        ("application/json;version=1;q=0.5, application/msgpack;q=0.6", MSGPACK),
        (",,", None),
    ],
)
def test_content_negotiation(accept: str, wanted: str | None) -> None:
    assert negotiate(accept, ROW_TYPES) == wanted


STRICT_NAMES = ("Host", "Connection", "Content-Length", "Transfer-Encoding", "Accept", "Expect", "Upgrade", "TE")
OTHER_NAMES = ("X", "traceparent", "User-Agent", "Content-Type", "content-encoding", "Proxy-Connection")
ODD_NAMES = ("hosts", "Hos", "X\tY", "X\x00", "")
NAMES = st.sampled_from((*STRICT_NAMES, *OTHER_NAMES, *ODD_NAMES))
TEXTS = st.sampled_from(["a", "", "close", "5", "chunked", "100-continue", "*/*", "a\x00", "\x0b", "\xff", "a b", "\t"])
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n ", "\r\n\t", "\r\r\n", "\r\n\r\n"])
BLOCKS = st.lists(st.tuples(NAMES, st.sampled_from([":", ": ", " :"]), TEXTS, ENDS).map("".join), max_size=5)


@given(BLOCKS, st.sampled_from([0, 1]))
@example(["X: a\r\n", " folded\r\n"], 1)
@example(["Host: a\r\n", "X: a\r\n", " folded\r\n"], 1)
@example(["Host: a\n", "X: b\r\n"], 1)
@example(["Host: a\r\n", "X: b\n", "Y: c\r\n"], 1)
@settings(max_examples=500)
def test_a_block_means_the_same_without_its_idle_lines(lines: list[str], minor: int) -> None:
    """`_essence` against llhttp reading the block as it came."""
    block = "".join(["Host: a\r\n" if len(lines) % 2 else "", *lines]).encode("latin-1") + b"\r\n"
    block = block[: block.index(b"\r\n\r\n") + 4] if b"\r\n\r\n" in block else block

    def fate(read: object) -> object:
        try:
            assert callable(read)
            return read()
        except HavokError as error:
            return error.code

    reader = HeadReader()
    direct = fate(lambda: heads._read_block(block, minor))
    assert fate(lambda: reader.block(b"%d" % minor, block)) == direct
    assert fate(lambda: reader.block(b"%d" % minor, block)) == direct, "the second time from memory"


def test_memory_is_bounded_and_kept_for_what_is_asked_for() -> None:
    reader = HeadReader()
    shared = b"Host: a\r\nAccept: */*\r\n\r\n"
    facts = reader.block(b"1", shared)
    for number in range(5000):
        assert reader.block(b"1", b"Host: a\r\nAccept: */*\r\ntraceparent: 00-%032x\r\n\r\n" % number) is facts
        assert reader.block(b"1", shared) is facts
    reader.block(b"1", b"Host: a\r\nX: " + b"a" * 3000 + b"\r\n\r\n")
    remembered = [*reader._young, *reader._old]
    assert len(remembered) <= 2 * heads._REMEMBERED_MAX
    assert max(len(block) for _, block in remembered) <= heads._REMEMBERED_BYTES_MAX


def test_another_version_is_another_block() -> None:
    reader = HeadReader()
    block = b"Host: a\r\n\r\n"
    assert reader.block(b"1", block).keep_alive
    assert not reader.block(b"0", block).keep_alive


@given(st.binary(max_size=60))
@settings(max_examples=200)
def test_any_bytes_are_a_head_or_refused(data: bytes) -> None:
    for prefix in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"):
        found = outcome(prefix + data + b"\r\n\r\n")
        assert found is None or isinstance(found, (Head, str))
        if isinstance(found, Head):
            assert re.fullmatch(rb"[!-~]*", found.path + found.query)
