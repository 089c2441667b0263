"""Changes to the content of files, each drawn from a random generator: a seed stands for a damaged file."""

import copy
import io
import json
import random
import re
import string
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from microjoule.graph.file.operators import listed

CODE = "__import__('os').system('touch touched')"
"""A text that makes a file if anyone runs it."""

SPECIAL: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        3,
        255,
        65536,
        2**31 - 1,
        2**31,
        2**32,
        2**53,
        2**63 - 1,
        -(2**63),
        10**30,
        0.5,
        -0.0,
    ),
    *(
        1e-320,
        1e308,
        -1e308,
        float("inf"),
        float("nan"),
        "",
        "x",
        "é",
        "\ud800",
        "\0",
        "x" * 5000,
        "1",
        "NaN",
        [],
        {},
        [[]],
    ),
    *(
        CODE,
        "__class__",
        "forward",
        "a.b",
        "..",
        "../x",
        "self",
        "lambda",
        '"); open("touched", "w"); ("',
        {"a": 1},
        [1, 2, 3],
    ),
]
DEPTHS = (5, 70, 500, 100_000)
WORDS = ("aten.zeros.default", "aten.full.default", "aten.repeat.default", "aten.expand.default", "aten.arange.default")
WORDS += ("aten.upsample_nearest2d.vec", "aten.constant_pad_nd.default", "aten.matmul.default", "aten.index.Tensor")
WORDS += (
    "aten.nonzero.default",
    "aten.item.default",
    "aten.from_file.default",
    "aten.unbind.int",
    "aten.linalg_inv.default",
)
WORDS += (
    "python.mul",
    "python.pow",
    "python.getitem",
    "aten.relu.default",
    "aten.add.Tensor",
    "Conv2d",
    "Linear",
    "LSTM",
)
WORDS += ("placeholder", "get_attr", "call_module", "call_function", "call_method", "output", "float64", "int8", "bool")


# JSON -----------------------------------------------------------------------------------------------------------------


def json_text(rng: random.Random, text: str) -> str:
    """A JSON text with some of its values changed; now and then one that is no JSON any more."""
    if rng.random() < 0.08:
        return _broken_text(rng, text)
    document = json.loads(text)
    try:
        for _ in range(rng.choice((1, 1, 1, 1, 2, 4))):
            document = json_value(rng, document)
        return json.dumps(document)
    except (ValueError, RecursionError):  # it holds itself, or nests too deep to be written
        return text


def json_value(rng: random.Random, document: Any) -> Any:
    """A document with one value changed, removed, repeated, or put somewhere else."""
    places = _places(document)
    if not places:
        return _special(rng)
    holder, key = rng.choice(places)
    kind = rng.random()
    if kind > 0.6:  # numbers and texts are where a document stays one
        holder, key = rng.choice([(h, k) for h, k in places if not isinstance(h[k], dict | list)] or places)
    if kind < 0.15:
        if isinstance(holder, dict):
            del holder[key]
        else:
            holder.pop(key)
    elif kind < 0.25:
        other_holder, other_key = rng.choice(places)
        holder[key] = copy.deepcopy(other_holder[other_key])
    elif kind < 0.35 and isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(holder[key])] * rng.choice((1, 2, 20, 1000))
    elif kind < 0.4 and isinstance(holder, dict):
        name = rng.choice([*holder, "x", "weight", CODE])
        holder[name] = holder.pop(key)
    elif kind < 0.45:
        holder[key] = _nested(rng.choice(DEPTHS[:3]))
    elif kind < 0.55:
        holder[key] = rng.choice(WORDS)
    else:
        holder[key] = _changed(rng, holder[key])
    return document


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Where values stand: in what, and under which key or index."""
    found, todo = [], [document]
    while todo:
        one = todo.pop()
        keys = list(one) if isinstance(one, dict) else list(range(len(one))) if isinstance(one, list) else []
        for key in keys:
            found.append((one, key))
            if isinstance(one[key], dict | list):
                todo.append(one[key])
    return found


def _changed(rng: random.Random, value: Any) -> Any:
    if isinstance(value, bool) or value is None or rng.random() < 0.3:
        return _special(rng)
    return next(change(rng, value) for kind, change in CHANGES.items() if isinstance(value, kind))


def _special(rng: random.Random) -> Any:
    """One of them, a copy: what is changed later must not change the next case."""
    return copy.deepcopy(rng.choice(SPECIAL))


def _whole(rng: random.Random, value: int) -> Any:
    if rng.random() < 0.4:
        return rng.randrange(-2, 12)
    far = (value * 1000, value * 10**9, str(value), float(value), [value])
    return rng.choice((value + 1, value - 1, -value, value * 2, *far))


def _real(rng: random.Random, value: float) -> Any:
    near = int(value) if abs(value) < 1e300 else 0
    return rng.choice((-value, value * 1e6, value * 1e300, near, str(value), 0.0, [value]))


def _words(rng: random.Random, value: str) -> Any:
    for start in ("", "torch.ops."):
        if value.startswith(f"{start}aten.") and rng.random() < 0.7:
            return start + rng.choice(sorted(listed()))
    at, piece = rng.randrange(len(value) + 1), rng.choice(("", "x", ".", "_", '"', "\n", CODE, "0", value))
    return rng.choice((value[:at] + piece + value[at:], value[:at], value[::-1], value.upper(), [value], {value: 1}))


def _list(rng: random.Random, value: list[Any]) -> Any:
    return rng.choice((value[::-1], value + value, value[: len(value) // 2], {"x": value}, value[0] if value else None))


def _dict(rng: random.Random, value: dict[str, Any]) -> Any:
    return rng.choice((list(value.values()), list(value), {**value, "x": 1}))


CHANGES: dict[type, Callable[[random.Random, Any], Any]] = {
    int: _whole,
    float: _real,
    str: _words,
    list: _list,
    dict: _dict,
}


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _broken_text(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    depth = rng.choice(DEPTHS)
    return rng.choice(
        (
            text[:at],
            text[:at] + rng.choice(string.printable) + text[at:],
            "[" * depth,
            '{"a":' * depth,
            "[" * depth + "]" * depth,
            re.sub(r"(?<=[ \[])\d+(?=[,\]])", "9" * rng.choice((20, 400, 5000)), text, count=rng.choice((1, 3))),
            re.sub(
                r"(?<=[ \[])\d+(?=[,\]])", rng.choice(("NaN", "-Infinity", "1e999", "-0", "01", "1.")), text, count=2
            ),
            re.sub(r'"(\w+)":', r'"\1": 1, "\1":', text, count=1),
            "﻿" + text,
        )
    )


# Bytes ----------------------------------------------------------------------------------------------------------------


def raw(rng: random.Random, content: bytes) -> bytes:
    """Bytes with some flipped, cut out, put in, or numbers written over them."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, kind = rng.randrange(max(1, len(data))), rng.random()
        if kind < 0.35 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind < 0.5 and data:
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind < 0.7 and len(data) > 8:
            width = rng.choice(("<h", "<i", "<q"))
            at = min(at, len(data) - 8) & ~(struct.calcsize(width) - 1 if rng.random() < 0.7 else 0)
            limit = 8 * struct.calcsize(width) - 1
            value = rng.choice(
                (0, 1, -1, 2**limit - 1, -(2**limit), rng.randrange(-(2**limit), 2**limit), len(data), at)
            )
            struct.pack_into(width, data, at, max(-(2**limit), min(value, 2**limit - 1)))
        elif kind < 0.8:
            del data[at : at + rng.choice((1, 4, 64, len(data)))]
        elif kind < 0.9:
            data[at:at] = bytes(rng.choices(range(256), k=rng.choice((1, 4, 64)))) * rng.choice((1, 1, 100))
        else:
            other = rng.randrange(max(1, len(data)))
            data[at:at] = data[other : other + rng.choice((4, 16, 256))]
    return bytes(data)


# Archives -------------------------------------------------------------------------------------------------------------


def members_of(content: bytes) -> dict[str, bytes]:
    """What an archive holds."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: list[tuple[str, bytes]], *, deflated: bool = False) -> bytes:
    """An archive; a name may come twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        archive._didModify = True
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = archive.compression
            archive.writestr(info, content)
    return buffer.getvalue()


def archive(rng: random.Random, content: bytes, inside: dict[str, Callable[[random.Random, bytes], bytes]]) -> bytes:
    """An archive with something changed in a member, or in the archive itself.

    Args:
        rng: what is drawn from.
        content: the archive.
        inside: how to change members, by the end of their names.
    """
    members = list(members_of(content).items())
    if rng.random() < 0.75:
        known = [(index, name) for index, (name, _) in enumerate(members) if any(name.endswith(end) for end in inside)]
        index, name = rng.choice(known)
        change = next(change for end, change in inside.items() if name.endswith(end))
        members[index] = name, change(rng, members[index][1])
        return zipped(members, deflated=rng.random() < 0.1)
    kind = rng.randrange(8)
    if kind == 0:
        members.insert(rng.randrange(len(members) + 1), rng.choice(members))
    elif kind == 1:
        members.pop(rng.randrange(len(members)))
    elif kind == 2:
        index = rng.randrange(len(members))
        name = rng.choice(
            ("../x", "/x", "x\\y", "é", "x" * 2000, members[index][0].upper(), "./" + members[index][0], "")
        )
        members[index] = name, members[index][1]
    elif kind == 3:
        members.append(
            (rng.choice(("x", "model/data/weights/model.pt", "extra/y")), b"\0" * rng.choice((0, 1, 10**6, 10**8)))
        )
        return zipped(members, deflated=True)
    whole = zipped(members, deflated=rng.random() < 0.5)
    if kind == 4:
        return raw(rng, b"") + whole if rng.random() < 0.5 else whole + bytes(rng.choices(range(256), k=30))
    return _zip_fields(rng, whole) if kind < 7 else raw(rng, whole)


def _zip_fields(rng: random.Random, content: bytes) -> bytes:
    """Numbers in the headers of an archive written over."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2))):
        sign, fields = rng.choice(
            (
                (b"PK\x03\x04", ((6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))),
                (
                    b"PK\x01\x02",
                    ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (42, 4)),
                ),
                (b"PK\x05\x06", ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))),
            )
        )
        starts = [match.start() for match in re.finditer(re.escape(sign), data)]
        if not starts:
            continue
        at, (offset, size) = rng.choice(starts), rng.choice(fields)
        before = int.from_bytes(data[at + offset : at + offset + size], "little")
        value = rng.choice(
            (0, 1, 8, 9, 99, before + 1, before * 2, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, rng.randrange(2**32))
        )
        data[at + offset : at + offset + size] = (value % 256**size).to_bytes(size, "little")
    return bytes(data)


def safetensors(rng: random.Random, content: bytes) -> bytes:
    """The header of a file of tensors changed, or its numbers."""
    (length,) = struct.unpack("<Q", content[:8])
    header, numbers = content[8 : 8 + length].decode(), content[8 + length :]
    kind = rng.random()
    if kind < 0.5:
        header = json_text(rng, header)
    elif kind < 0.65:
        names = (
            "F64",
            "F32",
            "F16",
            "BF16",
            "I64",
            "I32",
            "I16",
            "I8",
            "U8",
            "BOOL",
            "F8_E4M3",
            "F8_E5M2",
            "U64",
            "C64",
            "X",
        )
        header = re.sub(
            r'"dtype": ?"\w+"', lambda match: f'"dtype":"{rng.choice(names)}"', header, count=rng.choice((1, 1, 50))
        )
    elif kind < 0.9:
        numbers = raw(rng, numbers)
        special = struct.pack("<f", rng.choice((float("nan"), float("inf"), -1.0, 0.0, 1e30, 1e-45)))
        at = 4 * rng.randrange(max(1, len(numbers) // 4))
        numbers = numbers[:at] + special + numbers[at + 4 :]
    told = (
        len(header.encode("utf-8", "surrogatepass"))
        if rng.random() < 0.9
        else rng.choice((0, 2**63, 2**40, 10**8, length + 8))
    )
    return struct.pack("<Q", told) + header.encode("utf-8", "surrogatepass") + numbers


# Texts and images -----------------------------------------------------------------------------------------------------


def toml(rng: random.Random, text: str) -> str:
    """A TOML text with some of its words changed."""
    tokens = re.findall(r'"[^"\n]*"|\w+|\s+|[^\w\s]', text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, kind = rng.randrange(len(tokens)), rng.random()
        if kind < 0.2:
            tokens.pop(at)
        elif kind < 0.35:
            tokens.insert(at, tokens[rng.randrange(len(tokens))])
        elif kind < 0.45:
            tokens[at] = rng.choice(("[", "{a=", "a.")) * rng.choice(DEPTHS)
        else:
            words = (
                "inf",
                "-inf",
                "nan",
                "true",
                "0",
                "-1",
                "17",
                "9" * 400,
                "1e999",
                '""',
                '"x"',
                "[]",
                "{}",
                "1979-05-27",
            )
            tokens[at] = rng.choice(
                (*words, "[8, 4]", "[[8]]", '["conv"]', "é", "\0", "a.b.c = 1\n", "[x]\n", '"""', "'", "#")
            )
    return "".join(tokens)


def png(rng: random.Random, content: bytes) -> bytes:
    """A PNG that says another size, depth or kind of colour, with the right checksum; or with bytes changed."""
    if rng.random() < 0.6:
        return raw(rng, content)
    head = bytearray(content[12:29])
    width, height = rng.choice(
        ((1, 1), (2**31 - 1, 2**31 - 1), (50_000, 50_000), (1, 10**8), (0, 5), (70_000, 1), (9000, 9000))
    )
    struct.pack_into(">II", head, 4, width, height)
    if rng.random() < 0.3:
        head[12], head[13] = rng.choice((1, 2, 4, 8, 16, 7)), rng.choice((0, 2, 3, 4, 6, 9))
    return content[:12] + bytes(head) + struct.pack(">I", zlib.crc32(bytes(head))) + content[33:]
