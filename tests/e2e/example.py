"""The shipped example as a person's own project."""

import re
import shutil

from tests.console.person import ROOT, Person


def take_the_example(person: Person) -> None:
    """Its tables and its havok.toml, on the person's ports."""
    shutil.copytree(ROOT / "examples", person.directory / "examples")
    text = (ROOT / "havok.toml").read_text()
    text = re.sub(r"(?m)^# listen = \S+", f'listen = "127.0.0.1:{person.port}"', text, count=1)
    person.config.write_text(re.sub(r"(?m)^# admin = \S+", f'admin = "127.0.0.1:{person.admin_port}"', text, count=1))
