"""Where responses end, however they are cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.http.reply import HEAD_BYTES_MAX, Reply

LENGTH = (
    b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n" + b'{"data":null}'
)
EMPTY = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Havok-Next\r\n\r\n"
    b"5\r\nhello\r\n9\r\n0\r\n\r\n5678\r\n0\r\nHavok-Next: abc\r\n\r\n"
)
BARE_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
CLOSES = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
UNTIL_END = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nas long as it lasts"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
NO_BODY = b"HTTP/1.1 204 No Content\r\n\r\n"
WHOLE = [LENGTH, EMPTY, CHUNKED, BARE_CHUNKED, CLOSES, NO_BODY]


def fed(reply: Reply, data: bytes, cuts: list[int]) -> bytes:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    out = b""
    for start, end in itertools.pairwise(edges):
        if start < end:
            assert not reply.done, "it ends with its last byte, not before"
            out += reply.feed(data[start:end])
    return out


cuts = st.lists(st.integers(0, 500), max_size=8)


@given(st.sampled_from(WHOLE), st.integers(0, 2), cuts)
def test_it_ends_with_its_last_byte(response: bytes, interim: int, cuts: list[int]) -> None:
    reply = Reply(head_only=False)
    assert fed(reply, INTERIM * interim + response, cuts) == response
    assert reply.done
    assert reply.closes == (b"Connection: close" in response)


@given(st.sampled_from([*WHOLE, UNTIL_END]), cuts)
def test_an_answer_to_head_is_its_head(response: bytes, cuts: list[int]) -> None:
    head = response[: response.index(b"\r\n\r\n") + 4]
    reply = Reply(head_only=True)
    assert fed(reply, head, cuts) == head
    assert reply.done


@given(cuts)
def test_one_until_the_end(cuts: list[int]) -> None:
    reply = Reply(head_only=False)
    assert fed(reply, UNTIL_END, cuts) == UNTIL_END
    assert (reply.done, reply.closes) == (False, True)
    assert reply.end()
    assert reply.done


@pytest.mark.parametrize("part", [b"", LENGTH[:10], LENGTH[:-1], CHUNKED[:-1], INTERIM])
def test_an_end_too_early(part: bytes) -> None:
    reply = Reply(head_only=False)
    if part:
        reply.feed(part)
    assert not reply.end()


@pytest.mark.parametrize(
    "data",
    [
        LENGTH + b"x",
        CHUNKED + b"x",
        CHUNKED.replace(b"5\r\nhello", b"5\r\nhell", 1),
        BARE_CHUNKED.replace(b"0\r\n", b"-1\r\n", 1),
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"rubbish\r\n\r\n",
        b"x" * (HEAD_BYTES_MAX + 1),
        BARE_CHUNKED.replace(b"0\r\n", b"0" * 5000, 1),
    ],
)
def test_what_is_no_response(data: bytes) -> None:
    reply = Reply(head_only=False)
    with pytest.raises(ValueError):  # noqa: PT011  whatever it says, the line is closed
        reply.feed(data)
