"""Which code a process runs, so that a node notices when other code was installed.

Rule: by content. A version number stays the same while people work on a checkout, and times
of files change when nothing did.
"""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import havok
from havok.errors import NodeError

PACKAGES = ("havok", "engine", "loader", "compartments", "console")
CHECK_S_MAX = 120.0  # every plan is compiled; thousands take some seconds
_SAID_LINES_MAX = 12  # of a refusal, its last: an exception's own words stand there
_ROOT = Path(havok.__file__).resolve().parents[1]


def code_id(root: Path = _ROOT) -> str:
    """12 hex digits that tell one state of the packages' sources from another; some milliseconds."""
    found = blake2b(digest_size=6)
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            source = path.read_bytes()
            found.update(b"%b %d\n" % (str(path.relative_to(root)).encode(), len(source)))
            found.update(source)
    return found.hexdigest()


async def passes(command: Sequence[str], quieten: Callable[[int], Callable[[], None]]) -> None:
    """Has the code that is installed now look at the node before it is in charge. Raises NodeError with what it says.

    No command: nobody asks. `quieten(pid)`: others serve meanwhile; what it returns is called when that one has ended.
    """
    if not command:
        return
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    ended = quieten(process.pid)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), CHECK_S_MAX)
    except BaseException as error:
        process.kill()
        await process.wait()
        if not isinstance(error, TimeoutError):
            raise
        raise NodeError(f"the installed code did not finish its check within {CHECK_S_MAX:.0f} s") from None
    finally:
        ended()
    if process.returncode:
        said = "\n".join(output.decode(errors="replace").strip().splitlines()[-_SAID_LINES_MAX:])
        raise NodeError(f"what is installed now would not serve this node; nothing was changed:\n{said}")
