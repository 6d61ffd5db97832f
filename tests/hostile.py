"""Damaged and hostile model folders, seeded: what disks, networks, people and attackers make of a good one.

Where an attacker made the folder, its hashes are right: the manifest is the attacker's, too.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Spoil = Callable[[Path, random.Random], None]

MODEL, MANIFEST, LABELS, GOLDEN = "model.tflite", "model.toml", "labels.txt", "golden/expected.json"
EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, 0x00010000, 0x40000000)


def rehash(folder: Path) -> None:
    """Makes the hashes of the manifest those of the files that are there."""
    text = (folder / MANIFEST).read_text(encoding="utf-8")

    def line(match: re.Match[str]) -> str:
        file = folder / match[1]
        return f'"{match[1]}" = "{hashlib.sha256(file.read_bytes()).hexdigest()}"' if file.is_file() else match[0]

    (folder / MANIFEST).write_text(re.sub(r'(?m)^"([^"]+)" = "[0-9a-f]{64}"$', line, text), encoding="utf-8")


def _right(spoil: Spoil) -> Spoil:
    def done(folder: Path, chance: random.Random) -> None:
        spoil(folder, chance)
        rehash(folder)

    return done


def damage(folder: Path, chance: random.Random, spared: tuple[str, ...] = ("LICENSE", MANIFEST)) -> None:
    """A file of a package is cut, flipped, filled with noise, renamed or taken from another.

    Args:
        spared: names of files that it never is.
    """
    named = [path for path in folder.rglob("*") if path.is_file() and path.name not in spared]
    file = chance.choice(sorted(named))
    content = bytearray(file.read_bytes())
    at = chance.randrange(len(content))
    match chance.randrange(6):
        case 0:
            content = content[:at]
        case 1:
            content[at] ^= 1 << chance.randrange(8)
        case 2:
            content[at:at] = chance.randbytes(chance.randrange(1, 20))
        case 3:
            content = bytearray(chance.randbytes(chance.choice([0, 1, 100, 5000])))
        case 4:
            file.rename(file.with_name(file.name + chance.choice([".bak", ".part", "~"])))
            return
        case 5:
            content = bytearray(chance.choice(sorted(set(named) - {file})).read_bytes())
            if hashlib.sha256(content).digest() == hashlib.sha256(file.read_bytes()).digest():
                content = content[:-1]
    file.write_bytes(content)


def replace(folder: Path, chance: random.Random) -> None:
    """Something else under the model's name."""
    file = folder / MODEL
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(file, MODEL)
    others = [
        b"",
        b"TFL3",
        b"\x00" * 8,
        zipped.getvalue(),
        gzip.compress(file.read_bytes()),
        (folder / "golden" / "circle.png").read_bytes(),
        b"\x7fELF\x02\x01\x01" + chance.randbytes(500),
        b"<!DOCTYPE html><title>Not Found</title>",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"\x89HDF\r\n\x1a\n" + chance.randbytes(100),
        b"a text\n" * 10,
        b"\x1c\x00\x00\x00TFL3" + chance.randbytes(chance.choice([0, 10, 1000, 100_000])),
        b"\xff\xff\xff\x7fTFL3" + bytes(1000),
        b"\x08\x00\x00\x00TFL3" + b"\x08\x00\x00\x00" * 500,
        (Path(__file__)).read_bytes(),
    ]
    file.write_bytes(chance.choice(others))


def cut(folder: Path, chance: random.Random) -> None:
    """The model without its end."""
    content = (folder / MODEL).read_bytes()
    (folder / MODEL).write_bytes(content[: chance.randrange(8, len(content))])


def flip(folder: Path, chance: random.Random) -> None:
    """Some bits of the model are others."""
    content = bytearray((folder / MODEL).read_bytes())
    for _ in range(chance.choice([1, 2, 8, 64, 600])):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    (folder / MODEL).write_bytes(content)


def patch(folder: Path, chance: random.Random) -> None:
    """Words of the model become extremes: offsets, lengths and sizes among them."""
    content = bytearray((folder / MODEL).read_bytes())
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        at = 4 * chance.randrange(len(content) // 4)
        struct.pack_into("<I", content, at, chance.choice(EXTREMES))
    (folder / MODEL).write_bytes(content)


def _array(values: list[int]) -> Any:
    return np.array(values, np.int32)


def sides(which: str, *shape: int) -> Callable[[Any, Any], None]:
    def change(_model: Any, graph: Any) -> None:
        tensor = {"input": graph.inputs[0], "output": graph.outputs[0], "middle": graph.operators[0].outputs[0]}
        tensor["weights"] = graph.operators[0].inputs[1]
        graph.tensors[tensor[which]].shape = _array(list(shape))

    return change


def _ends(key: str, *indices: int) -> Callable[[Any, Any], None]:
    return lambda _model, graph: setattr(graph, key, _array(list(indices)))


def _operator(key: str, value: Any) -> Callable[[Any, Any], None]:
    return lambda _model, graph: setattr(graph.operators[0], key, value)


def _option(key: str, value: int) -> Callable[[Any, Any], None]:
    return lambda _model, graph: setattr(graph.operators[0].builtinOptions, key, value)


def _code(key: str, value: Any) -> Callable[[Any, Any], None]:
    return lambda model, _graph: setattr(model.operatorCodes[0], key, value)


def _scale(which: str, value: float) -> Callable[[Any, Any], None]:
    def change(_model: Any, graph: Any) -> None:
        index = graph.inputs[0] if which == "input" else graph.outputs[0]
        graph.tensors[index].quantization.scale = np.array([value], np.float32)

    return change


def _type(which: str, value: int) -> Callable[[Any, Any], None]:
    def change(_model: Any, graph: Any) -> None:
        graph.tensors[graph.inputs[0] if which == "input" else graph.outputs[0]].type = value

    return change


def _circle(_model: Any, graph: Any) -> None:
    second = graph.operators[1]
    second.inputs = _array([second.outputs[0], *second.inputs[1:]])


def _short_buffer(model: Any, graph: Any) -> None:
    model.buffers[graph.tensors[graph.operators[0].inputs[1]].buffer].data = np.zeros(1, np.uint8)


def for_ever(model: Any, graph: Any) -> None:
    """Behind the network comes a loop whose condition is always true."""
    from ai_edge_litert import schema_py_generated as schema

    last = graph.outputs[0]

    def like_output() -> Any:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = graph.tensors[last].shape, schema.TensorType.INT8, 0
        tensor.name, tensor.quantization = b"state", graph.tensors[last].quantization
        return tensor

    def subgraph(name: bytes, tensors: list[Any], output: int) -> None:
        made = schema.SubGraphT()
        made.name, made.tensors, made.operators = name, tensors, []
        made.inputs, made.outputs = _array([0]), _array([output])
        model.subgraphs.append(made)

    true, always, code, loop = schema.BufferT(), schema.TensorT(), schema.OperatorCodeT(), schema.OperatorT()
    true.data = np.ones(1, np.uint8)
    model.buffers.append(true)
    always.shape, always.type, always.buffer, always.name = (
        _array([1]),
        schema.TensorType.BOOL,
        len(model.buffers),
        b"t",
    )
    always.buffer -= 1
    subgraph(b"body", [like_output()], 0)
    subgraph(b"condition", [like_output(), always], 1)
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.WHILE
    code.version = 1
    model.operatorCodes.append(code)
    graph.tensors.append(like_output())
    loop.opcodeIndex, loop.inputs = len(model.operatorCodes) - 1, _array([last])
    loop.outputs = graph.outputs = _array([len(graph.tensors) - 1])
    loop.builtinOptionsType, loop.builtinOptions = schema.BuiltinOptions.WhileOptions, schema.WhileOptionsT()
    loop.builtinOptions.bodySubgraphIndex, loop.builtinOptions.condSubgraphIndex = 1, 2
    graph.operators.append(loop)


CRAFTED: dict[str, Callable[[Any, Any], None]] = {
    "input of 5 GB": sides("input", 1, 40_000, 40_000, 3),
    "input of 2^62": sides("input", 1, 1 << 30, 1 << 30, 3),
    "input of 200 MB": sides("input", 1, 8_000, 8_000, 3),
    "input of a negative size": sides("input", 1, -48, 48, 3),
    "input of no size": sides("input", 1, 0, 48, 3),
    "input without sides": sides("input"),
    "middle of 8 TB": sides("middle", 1, 1 << 20, 1 << 20, 8),
    "weights beyond their buffer": sides("weights", 1 << 15, 1 << 15, 3, 3),
    "output that is no tensor": _ends("outputs", 9999),
    "output that is negative": _ends("outputs", -1),
    "no output": _ends("outputs"),
    "no input": _ends("inputs"),
    "input that is no tensor": _ends("inputs", 1 << 30),
    "two inputs": _ends("inputs", 0, 0),
    "operator of no tensor": _operator("inputs", _array([0, 9999, 2])),
    "operator of negative tensors": _operator("inputs", _array([-5, -6, -7])),
    "operator to no tensor": _operator("outputs", _array([1 << 30])),
    "operator of no code": _operator("opcodeIndex", 77),
    "operator of itself": _circle,
    "operator without options": _operator("builtinOptionsType", 0),
    "stride of 0": _option("strideW", 0),
    "dilation below 0": _option("dilationWFactor", -3),
    "buffer that is none": lambda _model, graph: setattr(graph.tensors[20], "buffer", 5000),
    "buffer of one byte": _short_buffer,
    "input scale NaN": _scale("input", float("nan")),
    "input scale infinite": _scale("input", float("inf")),
    "input scale 0": _scale("input", 0.0),
    "output scale NaN": _scale("output", float("nan")),
    "output scale infinite": _scale("output", float("inf")),
    "output scale below 0": _scale("output", -1.0),
    "output scale 1e-38": _scale("output", 1e-38),
    "output scale 1e38": _scale("output", 1e38),
    "input of text": _type("input", 5),
    "output of text": _type("output", 5),
    "output of a resource": _type("output", 13),
    "input of type 99": _type("input", 99),
    "other operator": _code("builtinCode", 36),
    "LSTM": _code("builtinCode", 16),
    "version 99": _code("version", 99),
    "schema 99": lambda model, _graph: setattr(model, "version", 99),
    "no graph": lambda model, _graph: setattr(model, "subgraphs", []),
    "a loop without an end": for_ever,
}


def craft(folder: Path, change: Callable[[Any, Any], None]) -> None:
    """The model, written anew with something in it that no converter writes."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs((folder / MODEL).read_bytes(), 0))
    change(model, model.subgraphs[0])
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    (folder / MODEL).write_bytes(bytes(builder.Output()))
    rehash(folder)


def crafted(folder: Path, chance: random.Random) -> None:
    """One of `CRAFTED`; the loop, which costs seconds, is left to its own test."""
    craft(folder, CRAFTED[chance.choice([name for name in sorted(CRAFTED) if name != "a loop without an end"])])


def _text(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


def _line(key: str, new: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"(?m)^{key} = .*$", lambda _match: new, text, count=1)


MANIFESTS: dict[str, Callable[[str], str | bytes]] = {
    "empty": lambda _text: "",
    "a NUL": lambda text: text.replace("shapes", "sha\0pes", 1),
    "no UTF-8": lambda text: b"\xff\xfe" + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "2 MB": lambda text: text + "# x\n" * 500_000,
    "deep lists": lambda text: text + "x = " + "[" * 100_000,
    "deep tables": lambda text: text + "x = " + "{a = " * 100_000,
    "a key of 200,000 parts": lambda text: text + ".".join("a" * 200_000) + " = 1\n",
    "a table of 200,000 parts": lambda text: text + "[" + ".".join("a" * 200_000) + "]\n",
    "a quoted key of 100,000 parts": lambda text: text + ".".join(['"="'] * 100_000) + " = 1\n",
    "1,900 keys of 250 parts": lambda text: text + "".join(f"k{n}{'.a' * 249} = 1\n" for n in range(1900)),
    "50,000 tables": lambda text: text + "".join(f"[t{number}]\n" for number in range(50_000)),
    "50,000 unknown keys": lambda text: "".join(f"u{number} = 1\n" for number in range(50_000)) + text,
    "a number of a million digits": _line("schema", "schema = " + "9" * 900_000),
    "a number of a million bits": _line("schema", "schema = 0x" + "f" * 250_000),
    "schema 2": _line("schema", "schema = 2"),
    "schema 1.0": _line("schema", "schema = 1.0"),
    "schema true": _line("schema", "schema = true"),
    "a name that leads out": _line("name", 'name = "../../etc"'),
    "a name of a line feed": _line("name", 'name = "a\\nb"'),
    "a version that leads out": _line("version", 'version = "../1"'),
    "a version with @": _line("version", 'version = "1@2"'),
    "a detector": _line("task", 'task = "detect"'),
    "a task of lists": _line("task", 'task = ["classify"]'),
    "a licence of a megabyte": _line("licence", f'licence = "{"x" * 900_000}"'),
    "an escape in the source": _line("source", 'source = "\\u001b[2J"'),
    "no date": lambda text: "expires = 2027-13-45\n" + text,
    "a time for a date": lambda text: "expires = 12:00:00\n" + text,
    "mean NaN": _line("mean", "mean = [nan]"),
    "mean infinite": _line("mean", "mean = [inf]"),
    "mean 1e308": _line("mean", "mean = [1e308]"),
    "std 0": _line("std", "std = [0.0]"),
    "std below 0": _line("std", "std = [-1.0]"),
    "std 1e-320": _line("std", "std = [1e-320]"),
    "std NaN": _line("std", "std = [nan]"),
    "std of two": _line("std", "std = [1.0, 1.0]"),
    "std of thousands": _line("std", "std = [" + "1.0, " * 5000 + "]"),
    "color cmyk": _line("color", 'color = "cmyk"'),
    "grey": _line("color", 'color = "grey"'),
    "fit zoom": _line("fit", 'fit = "zoom"'),
    "activation eval": _line("activation", 'activation = "eval"'),
    "background 10^18": lambda text: text.replace("[output]", f"[output]\nbackground = {10**18}").replace(
        "background = 0\n", ""
    ),
    "background below 0": lambda text: re.sub(r"(?m)^background = .*\n", "", text).replace(
        "[output]", "[output]\nbackground = -1"
    ),
    "an embedding of output 10^18": lambda text: text + f"\n[embedding]\noutput = {10**18}\n",
    "an embedding of output 1": lambda text: text + "\n[embedding]\noutput = 1\n",
    "groups of unknown labels": lambda text: text + 'x = ["no such label"]\n',
    "a group of 100,000 labels": lambda text: text + "x = [" + '"circle", ' * 80_000 + "]\n",
    "50,000 groups": lambda text: text + "".join(f'g{number} = ["l{number}"]\n' for number in range(40_000)),
    "an absolute file": _text("[files]\n", f'[files]\n"/etc/passwd" = "{"0" * 64}"\n'),
    "a file that leads out": _text("[files]\n", f'[files]\n"../../../etc/passwd" = "{"0" * 64}"\n'),
    "a file with a NUL": _text("[files]\n", f'[files]\n"a\\u0000b" = "{"0" * 64}"\n'),
    "a file that is a folder": _text("[files]\n", f'[files]\n"golden" = "{"0" * 64}"\n'),
    "a file name of 100,000 letters": _text("[files]\n", f'[files]\n"{"a" * 100_000}" = "{"0" * 64}"\n'),
    "a path of 50,000 folders": _text("[files]\n", f'[files]\n"{"a/" * 50_000}b" = "{"0" * 64}"\n'),
    "13,000 files": _text("[files]\n", "[files]\n" + "".join(f'"f{n}" = "{"0" * 64}"\n' for n in range(13_000))),
    "a hash in capitals": lambda text: re.sub(r'"([0-9a-f]{64})"', lambda match: f'"{match[1].upper()}"', text),
    "files of lists": _text("[files]\n", '[files]\n"x" = ["y"]\n'),
    "no files": lambda text: re.sub(r'(?m)^"[^"]+" = "[0-9a-f]{64}"\n', "", text),
}


def manifest(folder: Path, chance: random.Random) -> None:
    """One of `MANIFESTS`, or the manifest without its end."""
    path = folder / MANIFEST
    text = path.read_text(encoding="utf-8")
    name = chance.choice([*sorted(MANIFESTS), "cut", "cut", "cut"])
    changed = text[: chance.randrange(text.index("[output]"))] if name == "cut" else MANIFESTS[name](text)
    path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())


def link(folder: Path, chance: random.Random) -> None:
    """A file of the folder is a link, a pipe, a device or a folder."""
    import os

    path = folder / chance.choice([MODEL, LABELS, GOLDEN])
    path.unlink()
    match chance.randrange(6):
        case 0:
            path.symlink_to("/etc/passwd")
        case 1:
            path.symlink_to("/dev/zero")
        case 2:
            path.symlink_to(path.name)
        case 3:
            os.mkfifo(path)
        case 4:
            path.mkdir()
        case 5:
            with path.open("wb") as file:  # of no blocks on the disk
                file.write(b"\x1c\0\0\0TFL3")
                file.truncate(1 << 40)


ROW_OF_LABELS = "".join(f"label {number}\n" for number in range(60_000))
LABEL_FILES: tuple[bytes, ...] = (
    b"",
    b"\n\n\n\n\n\n",
    b"a\na\na\na\na\na\n",
    b"a\nb\nc\nd\ne\n",
    b"\xff\xfe\x00",
    b"a\nb\nc\nd\ne\nf\x1b[2J\n",
    b"a\nb\nc\nd\ne\n\0\n",
    b"x" * 2_000_000,
    ROW_OF_LABELS.encode(),
    ("\u202e" * 6).encode(),
)


def labels(folder: Path, chance: random.Random) -> None:
    """Labels that are none, or not those of the model."""
    (folder / LABELS).write_bytes(chance.choice(LABEL_FILES))


def _golden(text: str, score: object = 0.5, file: object = "circle.png") -> bytes:
    told = {"inputs": [{"file": file, "top": [{"label": "circle", "score": score}]}]}
    return json.dumps(told).replace("{", "{" + text, 1).encode()


def _bomb(width_px: int, height_px: int) -> bytes:
    """A PNG of few bytes and many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 22), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


EXPECTED: tuple[bytes, ...] = (
    b"",
    b"[]",
    b"{}",
    b"null",
    b'{"inputs": 7}',
    b'{"inputs": [7]}',
    b'{"inputs": {"a": 1}}',
    b'{"inputs": ' + b"[" * 200_000,
    b'{"a":' * 200_000,
    b'{"inputs": [' + b'{"file": "circle.png", "top": [{"label": "circle", "score": 0.98}]},' * 14_000,
    _golden(""),
    _golden("", float("nan")),
    _golden("", float("inf")),
    _golden("", "1e400"),
    _golden("", 10**400),
    _golden("", None),
    _golden('"tolerance": NaN,', 0.98),
    _golden('"tolerance": Infinity,', 0.98),
    _golden('"tolerance": -1,', 0.98),
    _golden('"tolerance": "x",', 0.98),
    _golden("", 0.98, "../labels.txt"),
    _golden("", 0.98, "/etc/passwd"),
    _golden("", 0.98, "a\0b"),
    _golden("", 0.98, ["circle.png"]),
    _golden("", 0.98, "expected.json"),
    json.dumps(
        {"inputs": [{"file": "circle.png", "top": [{"label": f"l{n}", "score": 0}]} for n in range(99)]}
    ).encode(),
    json.dumps({"inputs": [{"file": "circle.png", "top": [{"label": "circle", "score": 0.98}]}] * 101}).encode(),
    b"\xff" * 100,
)
PICTURES: tuple[bytes, ...] = (
    b"",
    b"\x89PNG\r\n\x1a\n",
    _bomb(1_000_000, 1_000_000),
    _bomb(30_000, 30_000),
    _bomb(10_000, 4_000),
    b"GIF89a" + b"\xff" * 100,
    b"\xff\xd8\xff\xd9",
    b"BM" + b"\xff" * 1000,
    b"II*\0\x08\0\0\0" + b"\xff" * 1000,
    b"P6 1000000000 1000000000 255\n",
    b"RIFF\xff\xff\xff\xffWEBPVP8L" + b"\xff" * 100,
)


def golden(folder: Path, chance: random.Random) -> None:
    """Promises that make no sense, or are not kept; pictures that are none, or far too large."""
    if chance.random() < 0.6:
        (folder / GOLDEN).write_bytes(chance.choice(EXPECTED))
    else:
        (folder / "golden" / "circle.png").write_bytes(chance.choice(PICTURES))


KINDS: dict[str, tuple[int, Spoil]] = {
    "damaged on the way": (20, damage),
    "links, pipes, devices": (3, link),
    "another file": (6, _right(replace)),
    "cut": (10, _right(cut)),
    "bits flipped": (14, _right(flip)),
    "words patched": (14, _right(patch)),
    "crafted": (12, crafted),
    "manifest": (12, manifest),
    "labels": (4, _right(labels)),
    "golden": (5, _right(golden)),
}
"""What is done and how often, in a hundred."""
MAY_WORK = frozenset({"bits flipped", "words patched"})
"""With right hashes, and in a byte that nothing depends on: a text, a filling, the last bit of a weight."""


def spoil(folder: Path, chance: random.Random) -> str:
    """Does one thing to a good folder, and says of which kind it was."""
    kind = chance.choices(sorted(KINDS), [KINDS[name][0] for name in sorted(KINDS)])[0]
    KINDS[kind][1](folder, chance)
    return kind
