"""FastAPI, uvicorn and redis-py: the micro-service most teams would start with."""

from importlib.util import find_spec

from bench.peer import Drive, Place, Running
from bench.peers.redis import redis_missing, start_redis, store
from bench.process import Server, answers, environment, free_port, python
from bench.wrk import wrk_missing

TARGET = "/v1/airport?faa={}"
_PACKAGES = ("fastapi", "uvicorn", "redis")


class FastapiRedis:
    name = "FastAPI + uvicorn + redis-py"

    def unavailable(self) -> str | None:
        missing = [package for package in _PACKAGES if find_spec(package) is None]
        if missing:
            return f"{' and '.join(missing)} not installed (pip install {' '.join(missing)})"
        return wrk_missing() or redis_missing()

    def start(self, place: Place) -> Running:
        redis, redis_port = start_redis(place.directory, place.cores.client)
        try:
            store(redis_port, ((f"airport:{code}", row) for code, row in place.workload.airports.items()))
            port = free_port()
            argv = python("uvicorn", "bench.peers.fastapi_app:app", "--host", "127.0.0.1", "--port", str(port))
            env = environment(AIRPORTS_REDIS=f"redis://127.0.0.1:{redis_port}")
            log = place.directory / "log"
            app = Server([*argv, "--no-access-log", "--log-level", "warning"], place.cores.server, log, env)
            code = next(iter(place.workload.airports))
            app.wait_until(lambda: answers(port, TARGET.format(code), code.encode()))
        except BaseException:
            redis.stop()
            raise
        run = place.wrk(port, place.workload.airport_lookups(TARGET))

        def stop() -> None:
            app.stop()
            redis.stop()

        note = "CPU of Redis not counted; it runs on the client's core"
        return Running(pids=lambda: [app.pid], drives=(Drive(self.name, "wrk", run, note=note),), stop=stop)
