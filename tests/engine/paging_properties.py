"""What random services try to break of pages: within a version, across two, and with cursors nobody was given."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from havok.errors import BadParam, HavokError
from tests.engine import tables
from tests.engine.draws import Draws
from tests.engine.oracle import Oracle
from tests.engine.pages import Pages, Service, forged
from tests.engine.query_maker import Asked, Maker

SERVICES_PER_EXAMPLE = 5
SIZES = (2, 1, 7, 33, 100)
Rows = list[dict[str, Any]]


class Paging:
    """`services` were tried in all; `went` says what came of them."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.went: Counter[str] = Counter()
        self._told: dict[str, str] = {}  # statement → a cursor

    def check(self, draws: Draws) -> None:
        main = tables.table(draws, "m", "m", rows_max=60)
        other = tables.table(draws, "o", "o", main)
        later = tables.changed(draws, main)
        draws.tell(f"{main}\n{other}\nand later\n{later}")
        self._oracle.load(main, other)
        self._told.clear()
        snapshot, twin = self._oracle.version(later)
        self._oracle.db.execute(f"CREATE OR REPLACE TABLE later AS SELECT * FROM read_parquet('{twin}')")
        try:
            for _ in range(SERVICES_PER_EXAMPLE):
                one = _One(self._oracle, draws, main, Maker(draws, main, other, lookups_in_itself=False).unlimited())
                self.went[one.check(snapshot, self._told)] += 1
        finally:
            snapshot.release()


class _One:
    """One service; its pages have as many rows as its caller says."""

    def __init__(self, oracle: Oracle, draws: Draws, main: tables.Table, asked: Asked) -> None:
        keys = [("m." if " m." in asked.select or "(m." in asked.select else "") + name for name in main.key]
        shown = "" if asked.grouped else ", ".join(f"{key} AS id{number}" for number, key in enumerate(keys)) + ", "
        self._select = f"SELECT {shown}{asked.select.removeprefix('SELECT ')}{asked.order}"
        if asked.grouped:
            self._select = f"{asked.select}{asked.order}"
        draws.tell(self._select)
        self._oracle, self._draws, self._main = oracle, draws, main
        self._grouped = asked.grouped

    def check(self, later: Any, told: dict[str, str]) -> str:
        """→ how it went: error, empty, grouped, rows. `told`: cursors of other services, to which its own is added."""
        now = self._oracle.snapshots
        whole, paged = Service(self._select, now), Service(f"{self._select} LIMIT :size", now)
        try:
            with whole.on(now) as program:
                rows, _ = program.page()
            with whole.on({**now, "m": later}) as program:
                later_rows, _ = program.page()
        except HavokError:
            return "error"
        with paged.on(now) as program:
            self._pages_are_the_whole(program, rows)
            first, cursor = program.page(size=self._draws.choice(SIZES))
            for statement, foreign in told.items():
                if statement != self._select:
                    with pytest.raises(BadParam, match=r"was changed since|cursor must be the next"):
                        program.page(foreign, size=1)
            if cursor is not None:
                self._no_forgery_gets_through(program, cursor, rows)
        if cursor is not None:
            told[self._select] = cursor
            with paged.on({**now, "m": later}) as program:
                self._goes_on(program, cursor, rows, len(first), later_rows)
        self._offset_is_of_the_first_page(rows)
        return "empty" if not rows else "grouped" if self._grouped else "rows"

    def _pages_are_the_whole(self, program: Pages, rows: Rows) -> None:
        for size in SIZES:
            found = program.rest(None, lambda size=size: size)  # type: ignore[misc]
            assert found == rows, f"in pages of {size}: {found}\ninstead of\n{rows}"
        found = program.rest(None, lambda: self._draws.choice(SIZES))
        assert found == rows, f"in pages of any size: {found}\ninstead of\n{rows}"

    def _offset_is_of_the_first_page(self, rows: Rows) -> None:
        now, offset, size = self._oracle.snapshots, self._draws.choice((1, 3, 40)), self._draws.choice((1, 7))
        with Service(f"{self._select} LIMIT :size OFFSET {offset}", now).on(now) as program:
            found = program.rest(None, lambda: size)
        assert found == rows[offset:], f"from {offset} in pages of {size}: {found}\ninstead of\n{rows[offset:]}"

    def _goes_on(self, program: Pages, cursor: str, rows: Rows, seen: int, later_rows: Rows) -> None:
        """On another version."""
        if self._grouped:
            with pytest.raises(BadParam, match="the data changed"):
                program.page(cursor, size=3)
            return
        rest = program.rest(cursor, lambda: 3)
        ids, later_ids, rest_ids = ([self._identity(row) for row in found] for found in (rows, later_rows, rest))
        assert rest_ids == later_ids[len(later_ids) - len(rest_ids) :], f"{rest} is no end of\n{later_rows}"
        same = self._in_both()
        again = [one for one in ids[:seen] if one in same and one in rest_ids]
        assert again == [], f"told twice: {again}"
        lost = [one for one in ids[seen:] if one in same and one not in rest_ids]
        assert lost == [], f"never told: {lost}"

    def _identity(self, row: dict[str, Any]) -> bytes:
        return msgspec.json.encode([row[f"id{number}"] for number, _ in enumerate(self._main.key)])

    def _in_both(self) -> set[bytes]:
        keys = ", ".join(f"{name} AS id{number}" for number, name in enumerate(self._main.key))
        text = f"SELECT {keys} FROM (SELECT * FROM m INTERSECT SELECT * FROM later)"
        return {self._identity(row) for row in self._oracle.theirs(text)[1]}

    def _no_forgery_gets_through(self, program: Pages, cursor: str, rows: Rows) -> None:
        for _ in range(4):
            text = forged(self._draws, cursor)
            self._draws.tell(f"forged: {text}")
            try:
                found, _ = program.page(text, size=100)
            except BadParam:
                continue
            assert [row for row in found if row not in rows] == [], f"{text}: {found} of {rows}"
