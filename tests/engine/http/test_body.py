"""Bodies: whole however they are split, refused however they are spoiled."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.http.body import ChunkedBody, LengthBody
from engine.http.head import BODY_BYTES_MAX
from havok.errors import BadRequest, BodyTooLarge, HavokError

CHUNKED = b'5\r\nhello\r\n1;a=b\r\n \r\n000A;x="y z"\r\n0123456789\r\n0;last\r\nX-Trailer: a\r\nY: b\r\n\r\n'
CONTENT = b"hello 0123456789"


def fed(*pieces: bytes) -> tuple[bytes, bytes]:
    """(content, what is left) of a chunked body."""
    body = ChunkedBody()
    left = b""
    for piece in pieces:
        left += piece[body.feed(piece) :] if not body.complete else piece
    assert body.complete
    return body.content(), left


def refused(data: bytes) -> str | None:
    """The code of a refusal, which must be the same byte by byte."""
    codes = []
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        body = ChunkedBody()
        code = None
        try:
            for piece in pieces:
                body.feed(piece)
        except HavokError as error:
            code = error.code
        codes.append(code)
    assert codes[0] == codes[1]
    return codes[0]


def test_by_length() -> None:
    for size in range(1, 12):
        body = LengthBody(10)
        data = b"0123456789next"
        taken = 0
        while not body.complete:
            taken += body.feed(data[taken : taken + size])
        assert body.content() == b"0123456789"
        assert taken == 10
    assert LengthBody(0).complete


def test_chunks_split_at_every_position() -> None:
    data = CHUNKED + b"GET /"
    assert fed(data) == (CONTENT, b"GET /")
    for at in range(len(data) + 1):
        assert fed(data[:at], data[at:]) == (CONTENT, b"GET /")
    assert fed(*(data[at : at + 1] for at in range(len(data)))) == (CONTENT, b"GET /")


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.lists(st.integers(0, 500), max_size=6))
def test_any_chunks_in_any_pieces(chunks: list[bytes], cuts: list[int]) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n\r\nrest"
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert fed(*pieces) == (b"".join(chunks), b"\r\nrest")


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1 ;x\r\n",
        b"1\t;x\r\n",
        b"1\n",
        b"1\r\r\n",
        b"1,2\r\n",
        b"1;x\x00\r\n",
        b"1;x\x0b\r\n",
        b"1;x\ry\r\n",
        b"1_0\r\n",
        b"\xb2\r\n",
        b"00000000f\r\n",
        b"1;" + b"x" * 255 + b"\r\n",
        b"x" * 300,
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b"1\r\naX",
        b"1\r\na\rX\n",
        b"2\r\na\r\n",
        b"0\r\nX\r\n",
        b"0\r\n: x\r\n",
        b"0\r\nX : x\r\n",
        b"0\r\n folded\r\n",
        b"0\r\nTransfer-encoding: chunked\r\n",
        b"0\r\nContent-Length: 0\r\n",
        b"0\r\nhost: a\r\n",
        b"0\r\nX: a\r\n folded\r\n",
        b"0\r\nX: \x00\r\n",
        b"0\r\nX: a\n",
        b"0\r\nX: " + b"a" * 5000 + b"\r\n",
        b"0\r\n" + b"X: a\r\n" * 2000,
        b"0\n\r\n",
        b"0\r\n\n",
        b"0\r\n\rX",
    ],
)
def test_spoiled_chunks(data: bytes) -> None:
    assert refused(data + b"\n" if data[-1:] == b"X" else data) == "bad_request"


def test_the_limit_is_exact() -> None:
    half = b"%x\r\n%b\r\n" % (BODY_BYTES_MAX // 2, b"a" * (BODY_BYTES_MAX // 2))
    body, _ = fed(half, half, b"0\r\n\r\n")
    assert len(body) == BODY_BYTES_MAX
    body_in_hand = ChunkedBody()
    body_in_hand.feed(half)
    body_in_hand.feed(half)
    with pytest.raises(BodyTooLarge):
        body_in_hand.feed(b"1\r\n")
    with pytest.raises(BodyTooLarge):
        ChunkedBody().feed(b"%x\r\n" % (BODY_BYTES_MAX + 1))
    with pytest.raises(BodyTooLarge):
        ChunkedBody().feed(b"ffffffff\r\n")


def test_the_number_of_chunks_is_bounded() -> None:
    """A megabyte a byte at a time would hold the loop for seconds."""
    body = ChunkedBody()
    with pytest.raises(BadRequest):
        body.feed(b"1\r\na\r\n" * 100_000)


@given(st.binary(max_size=40))
@settings(max_examples=200)
def test_any_bytes_end_alike_in_any_pieces(data: bytes) -> None:
    refused(data)
    refused(b"5\r\n" + data)
    refused(b"0\r\n" + data)
