"""Which types are stored, which can be keys, and how drift reads."""

import pytest

from havok.errors import LoadError
from havok.keys import KeyKind
from havok.settings import DatasetSettings, QualitySettings
from loader import duck, schema


@pytest.mark.parametrize(
    ("expression", "stored"),
    [
        ("1::HUGEINT", "DECIMAL(38,0)"),
        ("1::UHUGEINT", "DECIMAL(38,0)"),
        ("1.5::DECIMAL(9,3)", "DECIMAL(9,3)"),
        ("'a'::ENUM('a', 'b')", "VARCHAR"),
        ("uuid()", "VARCHAR"),
        ("TIME '01:02:03'", "VARCHAR"),
        ("INTERVAL 1 DAY", "VARCHAR"),
        ("'101'::BIT", "VARCHAR"),
        ("'{}'::JSON", "JSON"),
        ("'2020-01-01'::TIMESTAMP_NS", "TIMESTAMP"),
        ("'2020-01-01'::TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"),
        ("NULL", "INTEGER"),
        ("[1::HUGEINT]", "DECIMAL(38,0)[]"),
        ("[1, 2]::INTEGER[2]", "INTEGER[]"),
        ("{'a b': [uuid()], c: 1}", 'STRUCT("a b" VARCHAR[], "c" INTEGER)'),
        ("MAP {'a': 1::HUGEINT}", "MAP(VARCHAR, DECIMAL(38,0))"),
    ],
)
def test_canonical_types(session: duck.Session, expression: str, stored: str) -> None:
    kind = session.sql(f"SELECT {expression} AS x").types[0]
    assert schema.canonical(kind, "x") == stored
    session.execute(f"SELECT CAST({expression} AS {stored})")


@pytest.mark.parametrize("expression", ["union_value(k := 1)", "1::VARIANT"])
def test_types_without_json_form_are_refused(session: duck.Session, expression: str) -> None:
    kind = session.sql(f"SELECT {expression} AS x").types[0]
    with pytest.raises(LoadError, match=r"column x has type .* cast it in a SELECT"):
        schema.canonical(kind, "x")


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        ("VARCHAR", "string"),
        ("UTINYINT", "int"),
        ("BIGINT", "int"),
        ("UBIGINT", "uint"),
        ("DECIMAL(38,0)", "wide"),
        ("DECIMAL(4,0)", "wide"),
        ("BOOLEAN", "bool"),
        ("DATE", "date"),
        ("TIMESTAMP", "timestamp"),
        ("TIMESTAMP WITH TIME ZONE", "timestamp"),
    ],
)
def test_key_kinds(stored: str, kind: KeyKind) -> None:
    assert schema.key_kind("x", stored) == kind


@pytest.mark.parametrize(
    "stored", ["DOUBLE", "FLOAT", "DECIMAL(10,2)", "BLOB", "JSON", "INTEGER[]", 'STRUCT("a" INTEGER)']
)
def test_other_types_cannot_be_keys(stored: str) -> None:
    with pytest.raises(LoadError, match="cannot be part of a key or an index; cast it to"):
        schema.key_kind("x", stored)


def test_resolve_names_the_nearest_column() -> None:
    columns = [("faa", "VARCHAR"), ("Name", "VARCHAR")]
    with pytest.raises(LoadError, match=r"the key names column FAA, .* did you mean faa"):
        schema.resolve(columns, DatasetSettings(key=("FAA",)))
    with pytest.raises(LoadError, match=r"index by_name names column nam, .* did you mean Name"):
        schema.resolve(columns, DatasetSettings(key=("faa",), indexes={"by_name": ("nam",)}))
    with pytest.raises(LoadError, match=r"not_null names column zz, .* it has faa, Name"):
        schema.resolve(columns, DatasetSettings(key=("faa",), quality=QualitySettings(not_null=("zz",))))


def test_drift_is_one_sentence_per_difference() -> None:
    assert schema.drift([("a", "INTEGER"), ("b", "DATE")], [("a", "BIGINT"), ("c", "VARCHAR")]) == (
        "column b removed (was DATE)",
        "column c added (VARCHAR)",
        "column a changed type from INTEGER to BIGINT",
    )
