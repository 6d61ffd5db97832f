"""How many threads a model needs on a board: the fewest that reach the frame rate. Pure; measuring is an argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping

ENOUGH = 0.8
"""Share of the frame time that invoke() may take; the rest is for the picture, the network and other processes."""


def fewest_threads(
    frame_ms: float, cores: int, known_ms: Mapping[int, float], measure: Callable[[int], float]
) -> tuple[int, dict[int, float]]:
    """Tries one thread, then two, and so on, and stops at the first that is fast enough.

    Args:
        frame_ms: time between two frames.
        cores: the most threads to try.
        known_ms: what was measured before, milliseconds an invoke by thread count.
        measure: measures one thread count.

    Returns:
        The thread count, and everything that is known now. Where none is fast enough: the fastest.
    """
    times_ms = dict(known_ms)
    for threads in range(1, cores + 1):
        if threads not in times_ms:
            times_ms[threads] = measure(threads)
        if times_ms[threads] <= ENOUGH * frame_ms:
            return threads, times_ms
    tried = range(1, cores + 1)
    return min(tried, key=lambda threads: times_ms[threads]), times_ms
