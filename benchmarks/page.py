"""docs/performance.md from the results of one run: words and tables, no measuring."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.bars import BARS, Results
from benchmarks.figures import spread
from benchmarks.peers import BARE, MEDIAPIPE

VERDICTS = {True: "yes", False: "**no**", None: "**not measured**"}

PARTS = {
    "newest": "taking the next picture from the camera",
    "pixels": "crop, shrink, colours and quantization, into the input tensor",
    "invoke": "the network",
    "after": "output tensor to scores",
    "capture": "the capture thread: a copy of the picture, and handing it over",
}

PEERS = {
    BARE: "bare `invoke()`, nothing else",
    "edged-classifier": "edged, from a picture to scores",
    "edged-loop": "edged, the whole loop with the capture thread",
    MEDIAPIPE: "MediaPipe ImageClassifier, VIDEO mode, best class only",
    "usual": "the usual example: PIL resize, float, `set_tensor`, `get_tensor`",
    "fresh": "the same with a new Interpreter for each frame",
}

HEAD = """\
# Performance

Written by `scripts/bench`: run it again instead of editing this page. Everything on it comes from one run on one
machine.

**Not measured on a real board.** Ratios travel to other machines, milliseconds do not: a Raspberry Pi takes several
times as long for everything, the network included. What your board does, `edged bench` tells. A figure with two more in
parentheses is a median with its quartiles.
"""

PARTS_HEAD = """\
## Where the time goes

CPU milliseconds of a frame of 640x480 pixels, default model, one thread, pictures from memory. A real camera has a
driver and, with JPEG, a decoder in addition.
"""

PEERS_HEAD = """\
## Beside others

CPU time of all threads for a frame of 640x480 pixels, over bare `invoke()` of the same model, one inference thread
where it can be chosen (MediaPipe has no option for it). Every contestant is a process of its own, and all take turns,
block by block, in one run. RSS is that of the process at the end: for edged with all that the daemon imports.
"""

TAIL = """\
## Run it again

```sh
scripts/bench                                                # writes this page; without MediaPipe
scripts/bench --mobilenet mobilenet_v2_1.0_224_quant.tflite  # with it: it is installed below ~/.cache/edged
scripts/bench --only loop,delay                              # parts, to the terminal; the page stays
```

It takes about a quarter of an hour and wants `mosquitto`. Paths are from the top of the checkout. Leave the machine
alone meanwhile: ratios are measured in turns and bear some noise, times do not. The MobileNetV2 file is not part of
this project.
"""


def write(results: Results, machine: Mapping[str, str]) -> str:
    """The whole page; what is not in the results is said to be missing."""
    machine_rows = table(("what", "found"), list(machine.items()))
    parts = [HEAD, bars(results), missed(results), loop_parts(results), peers(results)]
    return "\n".join([*parts, f"## The machine\n\n{machine_rows}", TAIL])


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, ("---",) * len(head), *rows))


def bars(results: Results) -> str:
    """The table of everything that was promised."""
    rows = []
    for bar in BARS:
        measured, met = bar.judged(results)
        rows.append((bar.what, bar.bar, measured, VERDICTS[met], bar.command))
    text = f"## The bars\n\n{table(('what', 'bar', 'measured', 'met', 'command'), rows)}"
    delay = results.get("delay", {})
    if delay.get("early_events"):
        text += "\n" + wrapped(
            "Not among the delays: events of frames that were taken before the device was online "
            f"({delay['early_events']}, at most {delay['early_max_ms']:.0f} ms). They wait for the connection and for "
            "the retained topics, which go first."
        )
    return text


def missed(results: Results) -> str:
    """A list of what is not met, and why."""
    lines = []
    for bar in BARS:
        measured, met = bar.judged(results)
        if not met:
            why = f" {bar.reason(results[bar.section])}" if met is False else ""
            lines.append(wrapped(f"* **{bar.what}** ({bar.bar}): {measured}.{why}", "  "))
    return "## What is missed\n\n" + ("".join(lines) or "Nothing in this run.\n")


def loop_parts(results: Results) -> str:
    """What each part of a frame takes."""
    found = results.get("loop", {"error": "left out of this run"})
    if "error" in found:
        return f"{PARTS_HEAD}\nNot measured: {found['error']}.\n"
    parts = found["parts"]
    rows = [(name, what, f"{parts[name]:.3f}") for name, what in PARTS.items()]
    for way in ("without", "with"):
        one = found[way]
        rows.append(("whole", f"a frame of the whole loop, {way} the capture thread", f"{one['frame_cpu_ms']:.3f}"))
    return f"{PARTS_HEAD}\n{table(('part', 'what', 'CPU ms'), rows)}\n" + wrapped(
        "The whole also holds the decision, the outbox and the publisher. The parts are timed one by one and by "
        "another clock, so their sum is near the whole and not the same."
    )


def peers(results: Results) -> str:
    """One table a model."""
    found = results.get("peers", {"error": "left out of this run"})
    if "error" in found:
        return f"{PEERS_HEAD}\nNot measured: {found['error']}.\n"
    text = f"{PEERS_HEAD}\nDefault model, {found['rounds']} rounds:\n\n{contestants(found['default'])}"
    if "mobilenet" in found:
        text += f"\nMobileNetV2 1.0 224, uint8, {found['rounds']} rounds:\n\n{contestants(found['mobilenet'])}"
        text += "\n" + wrapped(why_mobilenet(found))
    else:
        text += "\nMediaPipe was not measured: this run had no MobileNetV2 file.\n"
    return text


def contestants(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The contestants with one model."""
    rows = []
    for name, what in PEERS.items():
        one = found.get(name)
        if one is None:
            continue
        if "error" in one:
            rows.append((what, f"cannot: {one['error']}", "", ""))
            continue
        ratio = "1" if name == BARE else spread(one["ratio"], 2)
        rows.append((what, ratio, f"{one['cpu_ms']:.2f}", f"{one['rss_mb']:.0f}"))
    return table(("way", "over bare `invoke()`", "CPU ms a frame", "RSS, MB"), rows)


def why_mobilenet(found: Mapping[str, Any]) -> str:
    """Why there is a second model, or no MediaPipe."""
    if "mediapipe_missing" in found:
        return f"MediaPipe was not measured: {found['mediapipe_missing']}."
    text = (
        f"Bare `invoke()` is that of {found['runtime']}; MediaPipe {found['mediapipe']} brings a runtime of its own. "
    )
    refusal = found.get("mediapipe_default")
    if refusal is None:
        return text + "MediaPipe loads the default model, too, and was compared with this one only."
    return text + f"It does not load the default model (“{refusal}”), hence this one."


def wrapped(text: str, indent: str = "") -> str:
    """A paragraph or a list item as lines that a person can read."""
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) + "\n"
