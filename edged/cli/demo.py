"""`edged demo`: a cat walks into the picture, and an MQTT subscriber hears of it."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from typing import Any

from edged.cli import FAILED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--seconds", type=_seconds, metavar="N", help="end after N seconds (left out: play once)")
    parser.add_argument("--json", action="store_true", help="events and a summary as JSON lines on stdout")


def execute(args: argparse.Namespace) -> int:
    """Plays; 0 only when events arrived at the subscriber."""
    from edged import app, demo

    screen = _Screen(args.json)
    stop = threading.Event()
    with app.stop_on_signals(stop):
        summary = demo.play(args.seconds, stop, screen.broker, screen.event, screen.turn)
    screen.summary(summary)
    return 0 if summary.received else FAILED


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= 86400.0:
        raise argparse.ArgumentTypeError(f"expected seconds above 0 and up to a day, found {text!r}")
    return seconds


class _Screen:
    """What a person, or a program, gets to see."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._live = sys.stderr.isatty() and not as_json
        self._said_s = 0.0

    def broker(self, name: str) -> None:
        if not self._json:
            print(f"broker: {name} on loopback; subscriber: edged-demo/demo/event/#", flush=True)
            print(
                "scene: a cup of coffee; a cat comes and goes. Of what the daemon says, you see the events.", flush=True
            )

    def event(self, event: dict[str, Any]) -> None:
        if self._json:
            print(json.dumps(event, ensure_ascii=False), flush=True)
            return
        end = ""
        if event["event_type"] == "end":
            end = f", after {event['duration_s']:.1f} s ({event['reason']})"
        self._clear()
        print(
            f"received: {event['time']}  {event['event_type']:<5} {event['rule']}  score {event['score'] or 0:.2f}, "
            f"peak {event['peak_score']:.2f}{end}",
            flush=True,
        )

    def turn(self, report: Any) -> None:
        """A progress line, at most four times a second and only on a terminal."""
        if not self._live or time.monotonic() - self._said_s < 0.25:
            return
        self._said_s = time.monotonic()
        ms = "" if report.invoke_p50_ms is None else f"{report.invoke_p50_ms:.1f} ms an invoke"
        print(f"\r{report.frames:5d} frames  {report.events} events  {ms}   ", end="", file=sys.stderr, flush=True)

    def summary(self, summary: Any) -> None:
        report = summary.report
        figures = {
            "frames": report.frames,
            "dropped": report.dropped,
            "events_decided": report.events,
            "events_received": summary.received,
            "invoke_p50_ms": report.invoke_p50_ms and round(report.invoke_p50_ms, 2),
            "cpu_ms_per_frame": summary.cpu_ms_per_frame and round(summary.cpu_ms_per_frame, 2),
            "heap_growth_bytes": summary.heap_growth_bytes,
        }
        if self._json:
            print(json.dumps({"summary": figures}), flush=True)
            return
        self._clear()
        growth = "not measured" if summary.heap_growth_bytes is None else f"{summary.heap_growth_bytes} bytes"
        invoke = "no invoke" if report.invoke_p50_ms is None else f"{report.invoke_p50_ms:.1f} ms an invoke (median)"
        cpu = "" if summary.cpu_ms_per_frame is None else f", {summary.cpu_ms_per_frame:.1f} ms of CPU a frame in all"
        print(
            f"{report.frames} frames, {report.dropped} dropped; {invoke}{cpu}; heap growth from frame 20 on: {growth}"
        )
        verdict = "OK" if summary.received else "FAILED"
        print(f"demo: {verdict}: {report.events} events decided, {summary.received} received by the subscriber")

    def _clear(self) -> None:
        if self._live:
            print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)
