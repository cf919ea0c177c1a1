"""A lookup service by hand: aiohttp.web over LMDB, as a careful author would write it.

The row's JSON lies ready in LMDB, so the handler copies it. No guard, no version, no log.
Run as `python -m bench.peers.aiohttp_app PORT LMDB_FILE`.
"""

import sys

import lmdb
import uvloop
from aiohttp import web

ENVIRONMENT = web.AppKey("environment", lmdb.Environment)


async def airport(request: web.Request) -> web.Response:
    code = request.query.get("faa")
    if code is None:
        return web.json_response({"error": "faa is required"}, status=400)
    with request.app[ENVIRONMENT].begin() as transaction:
        row = transaction.get(code.encode())
    if row is None:
        return web.json_response({"error": "no such airport"}, status=404)
    return web.Response(body=b'{"data":' + row + b"}", content_type="application/json")


def main(port: int, rows: str) -> None:
    app = web.Application()
    app[ENVIRONMENT] = lmdb.open(rows, subdir=False, readonly=True, lock=False)
    app.router.add_get("/v1/airport", airport)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
