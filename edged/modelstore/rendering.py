"""The text of a manifest, for whoever makes a package.

Law: what is written here reads back as what it was made of; the same manifest has the same bytes everywhere, so that a
signature over them holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from edged.modelstore.manifest import Manifest


def render(told: Manifest) -> str:
    """`model.toml` of a manifest."""
    return "".join(f"{line}\n" for line in _lines(told))


def _lines(told: Manifest) -> Iterator[str]:
    yield f"schema = {told.schema_version}"
    for key in ("name", "version", "task", "licence", "source"):
        yield f"{key} = {_text(getattr(told, key))}"
    if told.expires is not None:
        yield f"expires = {told.expires.isoformat()}"
    yield from _table("files", {name: _text(sha256) for name, sha256 in sorted(told.files.items())})
    of = told.input
    yield from _table(
        "input",
        {"color": _text(of.color), "fit": _text(of.fit), "mean": f"{list(of.mean)}", "std": f"{list(of.std)}"},
    )
    output = {"activation": _text(told.output.activation)}
    for key in ("background", "boxes", "classes", "scores", "count"):
        if (index := getattr(told.output, key)) is not None:
            output[key] = str(index)
    yield from _table("output", output)
    if told.embedding is not None:
        yield from _table("embedding", {"output": str(told.embedding.output)})
    if told.groups:
        yield from _table(
            "groups", {name: f"[{', '.join(map(_text, members))}]" for name, members in told.groups.items()}
        )


def _table(name: str, values: Mapping[str, str]) -> Iterator[str]:
    yield ""
    yield f"[{name}]"
    yield from (
        f"{key if key.isidentifier() and key.isascii() else _text(key)} = {value}" for key, value in values.items()
    )


def _text(value: str) -> str:
    """A basic string of TOML: JSON's, but for DEL, which no key of a manifest can have."""
    return json.dumps(value, ensure_ascii=False)
