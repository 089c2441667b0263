"""The Python examples of a page of documentation."""

import re
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

FENCE = re.compile(
    r"^(?P<indent>[ \t]*)```python(?P<options>[^\n]*)\n(?P<code>.*?)^(?P=indent)```[ \t]*$", re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    """One example: the line of its page on which it begins, its code, and whether it is run."""

    line: int
    code: str
    is_run: bool


def blocks(text: str) -> Iterator[Block]:
    """The examples of a page, in order; "```python no-run" marks one that is only shown."""
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("code")) + 1
        yield Block(line, textwrap.dedent(fence["code"]), "no-run" not in fence["options"].split())
