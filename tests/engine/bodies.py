"""Bodies of responses as a client takes them apart: whole or in chunks."""

from tests.engine.wire import Answer, Client, parse_answers


def long(client: Client, request: bytes) -> bytes:
    """What one request brings that takes more than a few turns."""
    client.received = b""
    client.send(request)
    return client.pump()


def body_of(raw: bytes) -> bytes:
    """Of one whole response, in chunks or not."""
    return unchunked(raw)[1] if b"\r\nTransfer-Encoding: chunked\r\n" in raw else parse_answers(raw)[0].body


def unchunked(raw: bytes) -> tuple[dict[str, str], bytes, dict[str, str]]:
    """One chunked response → (headers, body, trailers). Fails when it is not whole."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
    headers = fields_of(head.split(b"\r\n", 1)[1])
    assert headers["transfer-encoding"] == "chunked"
    body = b""
    while True:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        if not size:
            break
        body += rest[:size]
        assert rest[size : size + 2] == b"\r\n"
        rest = rest[size + 2 :]
    trailers, _, after = (rest if rest != b"\r\n" else b"\r\n\r\n").partition(b"\r\n\r\n")
    assert not after
    return headers, body, fields_of(trailers)


def fields_of(lines: bytes) -> dict[str, str]:
    pairs = [line.split(": ", 1) for line in lines.decode("latin-1").split("\r\n") if line]
    return {name.lower(): value for name, value in pairs}


def document(answer: Answer) -> dict[str, object]:
    assert answer.status == 200, answer
    return answer.json()
