"""The twin is sorted by key and holds canonical types."""

from pathlib import Path

from havok.keys import KeyColumn, encode
from loader import duck, twin
from loader.schema import Schema
from tests.loader.conftest import SMALL, Desk


def test_the_twin_is_sorted_by_key_and_holds_canonical_types(desk: Desk) -> None:
    desk.load(
        """SELECT (i * 7919) % 1000 AS n, chr((65 + i % 3)::INTEGER) AS s, i::HUGEINT * 1180591620717411303424 AS wide,
                  uuid() AS u, {'t': TIME '01:02:03'} AS nested, NULL AS nothing FROM range(1000) r(i)""",
        key=("s", "n"),
    )
    path = desk.place() / "rows.parquet"
    with duck.session(SMALL, desk.config_dir / "spill") as connection:
        found = twin.open_twin(connection, path)
        keys = duck.rows(connection, f"SELECT s, n FROM {found.table}")
    assert keys == sorted(keys)
    assert len(keys) == 1000
    assert [(column, str(kind)) for column, kind in found.columns] == [
        ("n", "BIGINT"),
        ("s", "VARCHAR"),
        ("wide", "DECIMAL(38,0)"),
        ("u", "VARCHAR"),
        ("nested", "STRUCT(t VARCHAR)"),
        ("nothing", "INTEGER"),
    ]
    assert [(column.name, column.type) for column in desk.manifest().columns] == [
        (column, str(kind)) for column, kind in found.columns
    ]


def test_rows_query_gives_the_key_encoding_in_order(desk: Desk) -> None:
    desk.load("SELECT i::BIGINT AS id, 'n' || i AS n FROM range(-3, 3) r(i)")
    with duck.session(SMALL, desk.config_dir / "spill") as connection:
        found = twin.open_twin(connection, desk.place() / "rows.parquet")
        rows = duck.rows(connection, twin.rows_query(found, (KeyColumn("id", "int"),)))
    assert rows == [(encode(["int"], [i]), b'{"id":%d,"n":"n%d"}' % (i, i)) for i in range(-3, 3)]


def test_only_long_strings_may_hash(desk: Desk) -> None:
    with duck.session(SMALL, desk.config_dir / "spill") as connection:
        for size, tag, hashed in ((252, 1, set()), (252, 60, {"by_tag"}), (300, 1, {None, "by_tag"})):
            desk.load(f"SELECT repeat('k', {size}) AS id, repeat('t', {tag}) AS tag", indexes={"by_tag": ("tag",)})
            manifest = desk.manifest()
            found = twin.open_twin(connection, desk.place() / "rows.parquet")
            schema = Schema(columns=manifest.columns, key=manifest.key, indexes=manifest.indexes)
            assert twin.hashed_orders(connection, found, schema) == hashed


def test_a_data_directory_may_look_like_a_pattern(tmp_path: Path) -> None:
    with duck.session(SMALL, tmp_path / "spill") as connection:
        for number, name in ((1, "site1"), (2, "site[1]")):
            (tmp_path / name).mkdir()
            target = duck.text(str(tmp_path / name / "rows.parquet"))
            connection.execute(f"COPY (SELECT {number} AS id) TO {target} (FORMAT parquet)")
        found = twin.open_twin(connection, tmp_path / "site[1]" / "rows.parquet")
        assert duck.rows(connection, f"SELECT id FROM {found.table}") == [(2,)]
