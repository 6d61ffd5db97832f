"""The bars: what was promised, what was found, and whether that is enough. Nothing here measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import spread
from edged.edges.mqtt_client import WINDOW

Results = Mapping[str, Mapping[str, Any]]

KIB = 1024
UNEXPLAINED = (
    "No reason is known. On a machine that does other work at the same time, run it again before you look for one."
)


@dataclass(frozen=True)
class Bar:
    """One row of the table.

    Attributes:
        section: of the results; also names the command.
        measure: its figures in words, and whether they meet the bar; called with the section's results.
        reason: for people, where the bar is missed and it is known why.
    """

    what: str
    bar: str
    section: str
    measure: Callable[[Any], tuple[str, bool]]
    command: str
    reason: Callable[[Any], str] = lambda _: UNEXPLAINED

    def judged(self, results: Results) -> tuple[str, bool | None]:
        """The cell with the figures, and whether the bar is met; None where nothing was measured."""
        found = results.get(self.section, {"error": "left out of this run"})
        if "error" in found:
            return f"not measured: {found['error']}", None
        return self.measure(found)


def _ratio(way: str, limit: float) -> Callable[[Any], tuple[str, bool]]:
    return lambda found: (spread(found[way]["ratio"]), found[way]["ratio"]["median"] <= limit)


def _network(way: str) -> Callable[[Any], str]:
    """Why the ratio is what it is: what the loop adds, and what it is added to."""

    def reason(found: Any) -> str:
        frame_ms, invoke_ms = found[way]["frame_cpu_ms"], found[way]["invoke_cpu_ms"]
        return (
            f"The loop adds {frame_ms - invoke_ms:.2f} ms of CPU to a network that takes {invoke_ms:.1f} ms here. The "
            "faster the network, the larger the share of the same work around it: of a network of 15 ms it is a third "
            "of what it is of one of 5 ms."
        )

    return reason


def _heap(found: Any) -> tuple[str, bool]:
    text = (
        f"{found['heap_bytes']} bytes, peak {found['heap_peak_bytes'] / KIB:.0f} KiB; {found['frames']} frames, "
        f"{found['events']} events, {found['acknowledged']} acknowledged"
    )
    enough = found["frames"] >= 10_000 and found["acknowledged"] >= 1000 - WINDOW  # these may still be under way
    return text, enough and found["heap_bytes"] <= 2 * KIB and found["heap_peak_bytes"] <= 128 * KIB


def _growth(found: Any) -> tuple[str, bool]:
    text = (
        f"{found['rss_bytes'] / KIB:.0f} KiB; {found['frames']} frames, {found['events']} events, "
        f"{found['acknowledged']} acknowledged"
    )
    return text, found["frames"] >= 100_000 and found["rss_bytes"] <= 256 * KIB


def _memory(camera: str) -> Callable[[Any], tuple[str, bool]]:
    def measure(found: Any) -> tuple[str, bool]:
        rss_mb, anonymous_mb = found[f"{camera}_rss_mb"], found[f"{camera}_anonymous_mb"]
        return f"{rss_mb:.1f} MB, anonymous {anonymous_mb:.1f} MB", rss_mb <= 105.0

    return measure


def _decoder(found: Any) -> str:
    more_mb = found["clip_rss_mb"] - found["pictures_rss_mb"]
    return (
        f"FFmpeg's decoder, its code and its buffers, takes {more_mb:.1f} MB that the same frames as pictures do not "
        "need. Clips are for trying edged out; a USB camera is read without FFmpeg."
    )


def _first_frame(found: Any) -> tuple[str, bool]:
    cpu_s, wall_s = found["first_frame_cpu_s"], found["first_frame_wall_s"]
    return f"{cpu_s:.2f} s CPU, {wall_s:.2f} s wall; median of {found['starts']:.0f} starts", cpu_s <= 1.0


def _delay(found: Any) -> tuple[str, bool]:
    text = (
        f"median {found['p50_ms']:.1f} ms, p90 {found['p90_ms']:.1f}, p99 {found['p99_ms']:.1f}, highest "
        f"{found['max_ms']:.1f}; {found['events']} events"
    )
    return text, found["p50_ms"] <= 10.0


def _waiting(found: Any) -> str:
    return (
        f"A tenth of the events waited for {found['p90_ms']:.0f} ms or more, for the disk and for the processor: on a "
        "machine that does other work at the same time, run it again."
    )


def _int8(found: Any) -> tuple[str, bool]:
    texts = []
    for way, one in found.items():
        agreement, loss = one["top1_agreement_percent"], one["int8_minus_float_top1_points"]
        texts.append(
            f"{agreement['value']:.1f} ± {agreement['se']:.1f} %, {loss['value']:+.1f} ± {loss['se']:.1f} points "
            f"({way} resize, {one['pictures']} pictures)"
        )
    met = all(
        one["top1_agreement_percent"]["value"] >= 97.0 and one["int8_minus_float_top1_points"]["value"] >= -0.6
        for one in found.values()
    )
    return "; ".join(texts), met


def _still(encoding: str, figure: str, limit: float) -> Callable[[Any], tuple[str, bool]]:
    def measure(found: Any) -> tuple[str, bool]:
        ratio = found["still"][encoding][figure]
        return spread(ratio), ratio["median"] <= limit

    return measure


def _entropy(_: Any) -> str:
    return (
        "Even the brightness of a JPEG at an eighth takes most of a decoder's time: the whole file has to be read bit "
        "by bit before anything is known of it. A camera that delivers YUYV is the cheaper one."
    )


def _gated(_: Any) -> str:
    return (
        "A gated frame is copied, masked and compared, whatever the network costs: the faster that is, the larger the "
        "share."
    )


def _encoding(encoding: str, limit: float) -> Callable[[Any], tuple[str, bool]]:
    def measure(found: Any) -> tuple[str, bool]:
        one = found["encodings"][encoding]
        text = (
            f"{spread(one['ratio'])}; {one['edged_ms']:.2f} and {one['usual_ms']:.2f} ms; at most {one['peak_bytes']} "
            f"bytes allocated, the decoded picture has {one['picture_bytes']}"
        )
        return text, one["ratio"]["median"] <= limit and one["peak_bytes"] < one["picture_bytes"] // 8

    return measure


def _fresh(found: Any) -> tuple[str, bool]:
    ages = found["ages"]
    text = "; ".join(f"{name}: {spread(one['ages_ms'], 1)} ms, {one['frames']} frames" for name, one in ages.items())
    return text, all(one["ages_ms"]["median"] <= 1.5 * 1000 / 30 for one in ages.values())


def _decoded(found: Any) -> tuple[str, bool]:
    most = max(one["decoded_per_s"] for one in found["ages"].values())
    return f"{most:.1f} a second", most <= 6.0


def _missed(found: Any) -> tuple[str, bool]:
    text = (
        f"{found['missed']} of {found['ungated']}, at most {found['late_s']:.2f} s apart; {found['stories']} drawn "
        "stories and the bundled clip, with and without delays"
    )
    return text, found["missed"] == 0 and found["ungated"] > 0


LOOP = "whole loop over bare `invoke()`, CPU time"
RSS = "RSS of `edged run`, default model, 640x480"
PROCESS = "`python -m benchmarks.process`"
ENDURANCE = "`python -m benchmarks.endurance`"
CAMERAS = "`python -m benchmarks.cameras`"
STILL = "still scene at 10 fps, 640x480, `idle_fps` 0.5, CPU of all threads"
WHOLE = "to a 224x224 tensor, over decoding and converting the whole picture first, the same interpolation"

BARS = (
    *(
        Bar(
            f"{LOOP}, {way} the capture thread",
            *(f"≤ {limit:.2f}", "loop", _ratio(way, limit), "`python -m benchmarks.loop`", _network(way)),
        )
        for way, limit in (("without", 1.07), ("with", 1.10))
    ),
    Bar(
        "growth of the Python heap over 10,000 frames, with 1,000 events that a real broker acknowledges",
        *("≤ 2 KiB, peak ≤ 128 KiB", "heap", _heap, ENDURANCE),
    ),
    Bar("growth of RSS over 100,000 frames and 10,000 events, tiny model", "≤ 256 KiB", "rss", _growth, ENDURANCE),
    Bar(f"{RSS}, a folder of pictures as the camera", "≤ 105 MB", "process", _memory("pictures"), PROCESS),
    Bar(f"{RSS}, an MP4 clip as the camera", "≤ 105 MB", "process", _memory("clip"), PROCESS, _decoder),
    Bar("process start to the first classified frame, CPU time", "≤ 1.0 s", "process", _first_frame, PROCESS),
    Bar(
        "frame's time stamp to a subscriber on loopback, less that frame's own invoke",
        *("median ≤ 10 ms", "delay", _delay, "`python -m benchmarks.delay`", _waiting),
    ),
    *(
        Bar(f"{STILL}, {name}: {what}", f"≤ {limit:.2f}", "cameras", _still(encoding, figure, limit), CAMERAS, reason)
        for encoding, name, reason in (("yuyv", "YUYV", _gated), ("jpeg", "MJPEG", _entropy))
        for what, figure, limit in (
            ("gate on over gate off", "ratio", 0.10),
            ("a gated frame over a classified one", "gated", 0.03),
        )
    ),
    Bar(
        "events that the ungated run reports and the gated one misses",
        *("0", "gate", _missed, "`python -m benchmarks.gate`"),
    ),
    Bar(f"YUYV 640x480 {WHOLE}", "≤ 0.75", "cameras", _encoding("yuyv", 0.75), CAMERAS),
    Bar(f"MJPEG 1280x720 {WHOLE}", "≤ 0.6", "cameras", _encoding("jpeg", 0.6), CAMERAS),
    Bar("pictures decoded, camera at 30 fps MJPEG, classifier at 5", "≤ 6 a second", "cameras", _decoded, CAMERAS),
    Bar(
        "age of the frame that is classified, camera at 30 fps, classifier at 5",
        *("median ≤ 50 ms", "cameras", _fresh, CAMERAS),
    ),
    Bar(
        "int8 against float, pictures not calibrated on: the same best class; difference in top-1",
        *("≥ 97.0 %; not lower by more than 0.6 points", "int8", _int8, "`models/build/efficientnet_lite0.py`"),
    ),
)
