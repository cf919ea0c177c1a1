"""nginx returning one constant: the floor of what an HTTP answer of this size costs."""

import os
import shutil

from bench.peer import Drive, Place, Running
from bench.process import Server, answers, free_port
from bench.wrk import wrk_missing

_CONFIG = """
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600;
    default_type application/json;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 '{body}'; }}
    }}
}}
"""
TARGET = "/v1/airport?faa={}"


def _program() -> str | None:
    """Debian installs it where only root's PATH looks."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")


def constant(size: int) -> str:
    """A JSON body of exactly so many bytes."""
    return '{"data":"' + "x" * (size - len('{"data":""}')) + '"}'


class Nginx:
    name = "nginx constant"

    def unavailable(self) -> str | None:
        return wrk_missing() or (None if _program() else "nginx is not installed (Debian: apt-get install nginx-light)")

    def start(self, place: Place) -> Running:
        port = free_port()
        config = place.directory / "nginx.conf"
        body = constant(place.workload.answer_bytes)
        config.write_text(_CONFIG.format(directory=place.directory, port=port, body=body))
        argv = [_program() or "nginx", "-c", str(config), "-p", str(place.directory)]
        server = Server(argv, place.cores.server, place.directory / "log")
        server.wait_until(lambda: answers(port, "/", body.encode()))
        run = place.wrk(port, place.workload.airport_lookups(TARGET))
        return Running(
            pids=server.children,  # the master only waits
            drives=(Drive(self.name, "wrk", run, note=f"{len(body)} bytes, the mean airport answer"),),
            stop=server.stop,
        )
