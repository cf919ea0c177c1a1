"""`havok load`: one load, seen and told.

Rule: the loader does the work; here it is shown while it runs and summed up at the end.
"""

import os
import sys
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from console import terminal
from console.node import ORPHANED, Hooks
from console.workplace import Workplace
from havok.settings import is_select
from loader.candidate import Silent
from loader.publish import LoadRequest, LoadResult, publish, publish_first

Mode = Literal["full", "upsert"]


class Bar:
    """A progress bar with rows/s on stderr (`loader.candidate.Progress`)."""

    def __init__(self, dataset: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            SpinnerColumn(),
            TextColumn(dataset),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, rate="")
        self._started = monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, number: int, name: str) -> None:
        self._started = monotonic()
        self._bar.update(self._task, description=f"{number}/9 {name}")

    def rows(self, done: int, total: int) -> None:
        rate = done / max(monotonic() - self._started, 1e-6)
        self._bar.update(self._task, completed=done, total=max(total, 1), rate=f"{rate:,.0f} rows/s")


class Quiet(Silent):
    """No terminal, no bar."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        return None


def load(
    place: Workplace,
    dataset: str,
    source: str | None,
    mode: Mode,
    *,
    dry_run: bool,
    activate: bool,
    as_json: bool,
    first: bool = False,
) -> None:
    """Raises LoadError or GateFailed with the reason, NodeError when the node refuses; then nothing changed.

    Raises DatasetBusy when somebody else loads it. A node's `first` load is waited for, and waits itself.
    """
    request = LoadRequest(
        data_dir=place.data_dir,
        dataset=dataset,
        settings=place.dataset(dataset),
        config_dir=place.config_dir if source is None else Path.cwd(),
        loader=place.settings.loader,
        source=source if source is None or is_select(source) or "://" in source else os.path.abspath(source),
        mode=mode,
        dry_run=dry_run,
        activate=activate,
    )
    watched = sys.stderr.isatty() and not as_json
    with Hooks(place.data_dir, place.settings) as hooks, Bar(dataset) if watched else Quiet() as progress:
        result = publish_first(request, hooks, progress, _say_wait) if first else _publish(request, hooks, progress)
    if result is None:
        terminal.say(f"{dataset}: there is a version by now, nothing is loaded")
        return
    if as_json:
        flipped = hooks.flipped or {}
        document: dict[str, Any] = msgspec.to_builtins(result)
        terminal.print_json(
            document
            | {"dry_run": dry_run, "workers": flipped.get("workers", 0), "flip_ms": flipped.get("ms")}
            | {"faulty": hooks.faulty}
        )
        return
    terminal.say(f"{summary(result, dry_run=dry_run)}; {_went_live(result, hooks, dry_run=dry_run)}")
    _aside(result)
    for service, reason in hooks.faulty.items():
        terminal.warn(f"service {service} does not compile on it: {reason.removeprefix(f'service {service}: ')}")


def _publish(request: LoadRequest, hooks: Hooks, progress: Bar | Quiet) -> LoadResult:
    return publish(request, hooks, progress, waiting=lambda sentence: _say_wait(f"{sentence}; Ctrl-C gives up"))


def _say_wait(sentence: str) -> None:
    terminal.note(sentence)


def summary(result: LoadResult, *, dry_run: bool = False) -> str:
    """`airports@2026…: 1,458 rows (+3) in 0.2 s`"""
    change = ""
    if result.previous_rows is not None and result.rows != result.previous_rows:
        change = f" ({result.rows - result.previous_rows:+,})"
    rows = f"{terminal.plural(result.rows, 'row')}{change}"
    return f"{result.dataset}@{result.version}: {rows} in {result.seconds:.1f} s"


def _went_live(result: LoadResult, hooks: Hooks, *, dry_run: bool) -> str:
    if dry_run:
        return "a dry run: every gate passed, nothing was kept"
    if not result.activated:
        return f"not activated; make it live with: havok rollback {result.dataset} --to {result.version}"
    if hooks.flipped is None and hooks.running:
        return "live on disk; the node did not take it over yet"
    if hooks.flipped is None:
        return f"live on disk; {ORPHANED if hooks.orphaned else 'no node is running'}"
    return f"live on {terminal.plural(hooks.flipped['workers'], 'worker')} in {hooks.flipped['ms']:.0f} ms"


def _aside(result: LoadResult) -> None:
    """What else a person should know."""
    for sentence in result.drift:
        terminal.warn(f"{result.dataset}: {sentence}")
    if result.nonfinite:
        terminal.warn(f"{result.dataset}: {terminal.plural(result.nonfinite, 'NaN or infinite value')} became null")
    for sentence in result.warnings:
        terminal.warn(sentence)
