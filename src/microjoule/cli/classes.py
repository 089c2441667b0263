"""Class lists: the names of a network's classes in the order of its outputs, and which of them a folder means."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from microjoule.errors import DataError, FileError

LARGEST_BYTES = 2**22
"""Of a class list; that of ImageNet's 21,841 classes has 1 MB."""

WORDNET = re.compile(r"^(n\d{8})\b[\s,:]*(.*)$")
"""A WordNet id, and the words after it."""

REMEDY = "write a class a line, in the order of the network's outputs: a name, a WordNet id, or both"


def read_classes(path: Path) -> tuple[str, ...]:
    """The labels of a class list: a text file with one a line, or JSON: a list, or an object from numbers to labels.

    Raises:
        FileError: if it cannot be read, or is no class list.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise FileError(str(path), "is too large for a class list", remedy=REMEDY)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileError(str(path), f"cannot be read: {error.strerror or error}", remedy="check the path") from error
    except UnicodeDecodeError as error:
        raise FileError(str(path), "is no text", remedy=REMEDY) from error
    labels = _from_json(path, text) if path.suffix.lower() == ".json" else [line.strip() for line in text.splitlines()]
    while labels and not labels[-1]:
        labels.pop()
    if not labels or "" in labels:
        raise FileError(str(path), "has a class without a name" if labels else "is empty", remedy=REMEDY)
    twice = [label for label, times in Counter(labels).items() if times > 1]
    if twice:
        raise FileError(str(path), f"names {twice[0]!r} twice", remedy=REMEDY)
    return tuple(labels)


def _from_json(path: Path, text: str) -> list[str]:
    try:
        content: Any = json.loads(text)
        if isinstance(content, dict):
            content = [content[str(number)] for number in range(len(content))]
        return [" ".join(map(str, one)) if isinstance(one, list) else str(one) for one in content]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(str(path), f"is no class list: {error!r}", remedy=REMEDY) from error


def names_of(label: str) -> set[str]:
    """All names by which a folder may mean a class, in lower case: the label, its WordNet id, each of its synonyms."""
    found, rest = {label}, label
    match = WORDNET.match(label)
    if match is not None:
        rest = match[2]
        found |= {match[1], rest}
    found |= {part.strip() for part in rest.split(",")}
    return {_plain(name) for name in found if name}


def numbers_of(names: Sequence[str], labels: Sequence[str], place: str) -> dict[str, int] | None:
    """The number of each name in a class list; None if none of them is there.

    Args:
        names: of folders.
        labels: of a network, in the order of its outputs.
        place: where the folders are, for messages.

    Raises:
        DataError: if some are there and others are not, or two names mean one class.
    """
    known: dict[str, int] = {}
    for number, label in enumerate(labels):
        for name in names_of(label):
            known.setdefault(name, number)
    found = {name: known[_plain(name)] for name in names if _plain(name) in known}
    if not found:
        return None
    missing = [name for name in names if name not in found]
    if missing:
        fact = f"has folders that are no class of the network: {', '.join(missing[:5])}"
        raise DataError(place, fact, remedy="name folders as the class list does (--classes FILE), or leave them out")
    if len(set(found.values())) < len(found):
        raise DataError(place, "has several folders for one class", remedy="put their files in one folder")
    return found


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ")
