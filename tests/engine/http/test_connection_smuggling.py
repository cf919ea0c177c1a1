"""FAULTS 28: what is one request, with h11 as the second opinion.

Rule: of whatever bytes come, the requests that this server answers are the first that h11
reads (method, target, body), and when this server waits for more, h11 has read no more
either. Being stricter is allowed: then the answer is an error and the connection ends.

One thing is taken out before h11 is asked: empty lines before a request line. RFC 9112,
2.2, tells a server to ignore them; h11 refuses them.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import h11
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.making import route_of, write_airports
from tests.engine.wire import Answer, Wire, chunked, get, parse_answers, post

Request = tuple[bytes, bytes, bytes]

JFK = get("/v1/airport?faa=JFK")
BODY = b'{"faa":"JFK"}'
POST = post("/v1/airport", BODY)
CHUNKED = chunked("/v1/airport", b'{"faa":', b'"JFK"}', trailers=b"X: y\r\n")


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    wire = Wire()
    wire.deploy(airport=route_of(write_airports(tmp_path_factory.mktemp("smuggling") / Path("v"))))
    yield wire
    wire.close()


def served(wire: Wire, *pieces: bytes) -> tuple[list[Request], list[Answer], bool]:
    """(requests answered the general way, all answers, whether the connection ended)."""
    recorded = wire.record()
    client = wire.client()
    for piece in pieces:
        client.send(piece)
        wire.turn()
    client.pump()
    methods = [request.method.decode() for request, _ in recorded]
    answers = parse_answers(client.received, methods, odd=True)
    client.socket.close()
    wire.turn(2)
    requests = []
    for request, content in recorded:
        target = request.path + (b"?" + request.query if request.query else b"")
        requests.append((request.method, target, content))
    return requests, answers, client.ended


def second_opinion(data: bytes) -> tuple[list[Request], bool]:
    """(requests, whether h11 would read on), a connection's life long."""
    requests: list[Request] = []
    while True:
        data = re.sub(rb"\A(?:\r\n)+", b"", data)
        if not data:  # to h11 that would be the end of the stream
            return requests, True
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        connection.receive_data(data)
        request, body = None, b""
        try:
            while type(event := connection.next_event()) is not h11.EndOfMessage:
                if event in (h11.NEED_DATA, h11.PAUSED):
                    return requests, True
                if isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
        except h11.RemoteProtocolError:
            return requests, False
        assert request is not None
        requests.append((request.method, origin_form(request.target), body))
        tokens = {
            t.strip().lower() for name, value in request.headers if name == b"connection" for t in value.split(b",")
        }
        if b"close" in tokens or (request.http_version == b"1.0" and b"keep-alive" not in tokens):
            return requests, False
        data = connection.trailing_data[0]


def origin_form(target: bytes) -> bytes:
    target = re.sub(rb"(?i)\Ahttps?://[^/?]+", b"", target)
    if target[:1] != b"*":
        target = target if target[:1] == b"/" else b"/" + target
    path, _, query = target.partition(b"?")
    return path + (b"?" + query if query else b"")


def assert_no_disagreement(wire: Wire, data: bytes, *pieces: bytes) -> None:
    requests, answers, ended = served(wire, *(pieces or (data,)))
    believed, reads_on = second_opinion(data)
    assert believed[: len(requests)] == requests, "h11 reads other requests"
    refusals = len(answers) - len(requests)
    interim = sum(answer.status == 100 for answer in answers)
    assert refusals - interim in (0, 1)
    if refusals > interim:
        assert 400 <= answers[-1].status < 600
        assert answers[-1].closes
        assert ended
    if not ended:
        assert len(believed) == len(requests), "h11 saw a request where this server waits for more"
        assert reads_on


CORPUS = {
    "two lengths": get("/", "Content-Length: 5", "Content-Length: 5", method="POST") + b"hello",
    "two other lengths": get("/", "Content-Length: 5", "Content-Length: 6", method="POST") + b"hello!",
    "a list of lengths": get("/", "Content-Length: 5, 5", method="POST") + b"hello",
    "a length of letters": get("/", "Content-Length: five", method="POST") + b"hello",
    "a length with a sign": get("/", "Content-Length: +5", method="POST") + b"hello",
    "a negative length": get("/", "Content-Length: -5", method="POST") + b"hello",
    "a hexadecimal length": get("/", "Content-Length: 0x5", method="POST") + b"hello",
    "a length with an underscore": get("/", "Content-Length: 1_0", method="POST") + b"hellohello",
    "an empty length": get("/", "Content-Length:", method="POST") + b"hello",
    "a huge length": get("/", "Content-Length: 99999999999999999999", method="POST"),
    "CL.TE": get("/", "Content-Length: 6", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\nGE" + JFK,
    "TE.CL": get("/", "Transfer-Encoding: chunked", "Content-Length: 3", method="POST") + b"8\r\nSMUGGLED\r\n0\r\n\r\n",
    "TE.TE": get("/", "Transfer-Encoding: chunked", "Transfer-Encoding: x", method="POST") + b"0\r\n\r\n",
    "TE xchunked": get("/", "Transfer-Encoding: xchunked", method="POST") + b"0\r\n\r\n",
    "TE with a blank before the colon": get("/", "Transfer-Encoding : chunked", method="POST") + b"0\r\n\r\n",
    "TE with a vertical tab": get("/", "Transfer-Encoding: \x0bchunked", method="POST") + b"0\r\n\r\n",
    "TE folded": get("/", "Transfer-Encoding:\r\n chunked", method="POST") + b"0\r\n\r\n",
    "TE after a bare LF": get("/", "X: y\nTransfer-Encoding: chunked", method="POST") + b"0\r\n\r\n",
    "TE quoted": get("/", 'Transfer-Encoding: "chunked"', method="POST") + b"0\r\n\r\n",
    "TE identity": get("/", "Transfer-Encoding: identity", method="POST") + b"0\r\n\r\n",
    "TE chunked, identity": get("/", "Transfer-Encoding: chunked, identity", method="POST") + b"0\r\n\r\n",
    "TE gzip, chunked": get("/", "Transfer-Encoding: gzip, chunked", method="POST") + b"0\r\n\r\n",
    "TE twice chunked": get("/", "Transfer-Encoding: chunked, chunked", method="POST") + b"0\r\n\r\n",
    "TE in HTTP/1.0": get("/", "Transfer-Encoding: chunked", method="POST", version="1.0") + b"0\r\n\r\n",
    "a chunk size of letters": get("/", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n",
    "a chunk size with a sign": get("/", "Transfer-Encoding: chunked", method="POST") + b"+1\r\na\r\n0\r\n\r\n",
    "a chunk size with 0x": get("/", "Transfer-Encoding: chunked", method="POST") + b"0x1\r\na\r\n0\r\n\r\n",
    "a huge chunk size": get("/", "Transfer-Encoding: chunked", method="POST") + b"fffffffffffffffff\r\n",
    "a chunk size that overflows": get("/", "Transfer-Encoding: chunked", method="POST")
    + b"100000005\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than its size": get("/", "Transfer-Encoding: chunked", method="POST") + b"1\r\nab\r\n0\r\n\r\n",
    "a chunk line of bare LF": get("/", "Transfer-Encoding: chunked", method="POST") + b"1\na\r\n0\r\n\r\n",
    "a chunk end of bare LF": get("/", "Transfer-Encoding: chunked", method="POST") + b"1\r\na\n0\r\n\r\n",
    "a blank chunk line": get("/", "Transfer-Encoding: chunked", method="POST") + b"\r\n0\r\n\r\n",
    "a huge chunk extension": get("/", "Transfer-Encoding: chunked", method="POST")
    + b"1;"
    + b"x" * 9000
    + b"\r\na\r\n0\r\n\r\n",
    "a bare LF in an extension": get("/", "Transfer-Encoding: chunked", method="POST") + b"1;x\n\r\na\r\n0\r\n\r\n",
    "a bare CR in an extension": get("/", "Transfer-Encoding: chunked", method="POST") + b"1;x\ry\r\na\r\n0\r\n\r\n",
    "a folded trailer": get("/", "Transfer-Encoding: chunked", method="POST") + b"0\r\nX: y\r\n z\r\n\r\n",
    "bare LF": JFK.replace(b"\r\n", b"\n"),
    "bare LF at the end": JFK[:-2] + b"\n",
    "bare CR": JFK.replace(b"\r\n", b"\r"),
    "bare CR in a value": get("/", "X: a\rb"),
    "a folded header": get("/", "X: a\r\n b"),
    "a folded first header": b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n",
    "a blank before the colon": get("/", "X : a"),
    "a blank first": get("/", " X: a"),
    "a header without a colon": get("/", "X"),
    "a header without a name": get("/", ": a"),
    "NUL in a value": get("/", "X: a\0b"),
    "NUL in a name": get("/", "X\0: a"),
    "a control character in a value": get("/", "X: a\x01b"),
    "DEL in a value": get("/", "X: a\x7fb"),
    "a name that is no token": get("/", "X(y): a"),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": get("/", "Host: other"),
    "a host with a blank": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a host after a blank line": b"GET / HTTP/1.1\r\n\r\nHost: a\r\n\r\n",
    "NUL in the target": get("/a\0b"),
    "a tab in the target": get("/a\tb"),
    "a blank in the target": get("/a b"),
    "a fragment in the target": get("/v1/airport?faa=JFK#x"),
    "a letter beyond ASCII in the target": get("/\u00e4"),
    "no target": b"GET HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": get("/", version="1.2"),
    "HTTP/2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.1 in small letters": b"GET / http/1.1\r\nHost: a\r\n\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tab between": b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a blank at the end of the line": b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority form": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "another scheme": get("gopher://a/b"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}

ACCEPTED = {
    "GET": JFK,
    "POST": POST,
    "chunked": CHUNKED,
    "absolute form": get("http://other/v1/airport?faa=JFK"),
    "absolute form without a path": get("HTTPS://other?faa=JFK"),
    "asterisk form": get("*", method="OPTIONS"),
    "empty lines first": b"\r\n\r\n" + JFK,
    "empty lines between": JFK + b"\r\n" + JFK,
    "a GET with a body": get("/v1/airport?faa=JFK", "Content-Length: 4") + b"GET " + JFK,
    "blanks around the length": get("/", "Content-Length: \t 5 \t", method="POST") + b"hello" + JFK,
    "zeros before the length": get("/", "Content-Length: 0005", method="POST") + b"hello" + JFK,
    "capital chunked": get("/", "TRANSFER-ENCODING:CHUNKED", method="POST") + b"A;x=y\r\n0123456789\r\n0\r\n\r\n" + JFK,
    "an upgrade that is not taken": get("/v1/airport?faa=JFK", "Connection: upgrade", "Upgrade: websocket") + JFK,
    "an upgrade with a body": get("/", "Connection: upgrade", "Upgrade: h2c", "Content-Length: 3", method="POST")
    + b"abc"
    + JFK,
    "a length of zero": get("/v1/airport?faa=JFK", "Content-Length: 0") + JFK,
    "letters beyond ASCII in a value": get("/v1/airport?faa=JFK", "X: \u00e4\u00ff"),
    "close": get("/v1/airport?faa=JFK", "Connection: close") + b"garbage \0 after it",
    "HTTP/1.0": get("/v1/airport?faa=JFK", version="1.0") + JFK,
    "HTTP/1.0 kept alive": get("/v1/airport?faa=JFK", "Connection: keep-alive", version="1.0") + JFK,
}


@pytest.mark.parametrize("name", CORPUS)
def test_malformed_requests_are_refused_and_the_connection_closed(wire: Wire, name: str) -> None:
    for data in (CORPUS[name], CORPUS[name] + JFK):
        for pieces in ([data], [JFK, data], [data[at : at + 1] for at in range(len(data))]):
            good = len(pieces) == 2
            requests, answers, ended = served(wire, *pieces)
            assert len(requests) == good
            assert ended
            *before, last = answers
            assert [answer.status for answer in before] == [200] * good
            assert 400 <= last.status < 600
            assert last.closes
            assert last.code
            assert_no_disagreement(wire, b"".join(pieces), *pieces)


@pytest.mark.parametrize("name", ACCEPTED)
def test_unusual_requests_are_read_as_h11_reads_them(wire: Wire, name: str) -> None:
    requests, answers, _ = served(wire, ACCEPTED[name])
    assert requests
    assert len(answers) == len(requests)
    assert requests == second_opinion(ACCEPTED[name])[0]
    assert_no_disagreement(wire, ACCEPTED[name])


VALID = [*ACCEPTED.values(), get("/v1/airport?faa=%4a", "X: y", "Accept: */*"), get("/healthz", method="HEAD")]
SPICES = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n ",
        b" ",
        b"\t",
        b"\0",
        b":",
        b";",
        b",",
        b"0",
        b"5",
        b"a",
        b"\x0b",
        b"\x7f",
        b"\xff",
        b"#",
        b"?",
    ),
    *(
        b"\r\n\r\n",
        b"0\r\n\r\n",
        b"1\r\na\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Host: a\r\n",
    ),
    *(
        b"chunked",
        b"Connection: close\r\n",
        b"HTTP/1.0",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"Expect: 100-continue\r\n",
    ),
]
EDITS = ("insert", "delete", "replace", "repeat")
EDIT = st.tuples(st.sampled_from(EDITS), st.integers(0, 2000), st.sampled_from(SPICES))


def edited(data: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    for kind, position, spice in edits:
        at = position % (len(data) + 1)
        if kind == "insert":
            data = data[:at] + spice + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + len(spice) :]
        elif kind == "replace":
            data = data[:at] + spice + data[at + len(spice) :]
        else:
            data = data[:at] + data[max(0, at - 40) : at] + data[at:]
    return data


@given(
    st.lists(st.sampled_from(VALID), min_size=1, max_size=3),
    st.lists(EDIT, min_size=1, max_size=4),
    st.lists(st.integers(0, 600), max_size=3),
)
@settings(max_examples=300)
def test_mutated_requests(
    wire: Wire, requests: list[bytes], edits: list[tuple[str, int, bytes]], cuts: list[int]
) -> None:
    data = edited(b"".join(requests), edits)
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]  # noqa: RUF007
    assert_no_disagreement(wire, data)
    whole, in_pieces = served(wire, data), served(wire, *pieces)
    # Of two things wrong with a head, the one that is met first may differ.
    assert [answer.closes or answer.status for answer in whole[1]] == [
        answer.closes or answer.status for answer in in_pieces[1]
    ]
    assert (whole[0], whole[2]) == (in_pieces[0], in_pieces[2])


def test_spliced_requests(wire: Wire, dice: random.Random, rounds: int) -> None:
    """Halves of one request on halves of another, edited: cheap, wide and repeatable."""
    everything = [*VALID, *CORPUS.values()]
    for _ in range(rounds):
        first, second = dice.choice(everything), dice.choice(everything)
        data = first[: dice.randrange(len(first))] + second[dice.randrange(len(second)) :] + JFK
        edits = [(dice.choice(EDITS), dice.randrange(2000), dice.choice(SPICES)) for _ in range(dice.randrange(3))]
        assert_no_disagreement(wire, edited(data, edits))


def test_the_corpus_is_what_the_answers_say(wire: Wire) -> None:
    """Statuses where one is due by name rather than any 4xx."""
    wanted = {"TE gzip, chunked": 501, "HTTP/2.0": 505, "HTTP/1.2": 505}
    for name, data in CORPUS.items():
        _, answers, _ = served(wire, data)
        large = name in ("a huge chunk size", "a chunk size that overflows")
        assert answers[-1].status == (wanted.get(name, 400)) or (large and answers[-1].status in (400, 413)), name
        assert "Traceback" not in str(msgspec.json.decode(answers[-1].body))
