"""Whether a version's cold twin is what its manifest says.

Rule: asked before the first query of a version, never in its time: a twin of tens of GB is
read for longer than any query may take. DuckDB itself answers from damaged pages.
"""

from pathlib import Path

from havok.errors import DamagedVersion
from havok.manifest import TWIN_FILE, read_manifest, verify_file


def verify_twin(version_dir: Path) -> None:
    """Reads the whole twin against its hashes, which also warms its pages.

    Blocking, releases the GIL: call it off the loop. Raises DamagedVersion, OSError for a shortage.
    """
    expected = read_manifest(version_dir).files.get(TWIN_FILE)
    if expected is None:
        raise DamagedVersion(f"the manifest of version {version_dir.name} names no {TWIN_FILE}")
    verify_file(version_dir / TWIN_FILE, expected)
