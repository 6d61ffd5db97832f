"""What the figures of a board mean: clock, power, temperature, memory, disk. Figures in, findings out.

Law: None is a figure whose source does not exist here, and never a fault of its own.
"""

from __future__ import annotations

from edged.core.condition import DISK_LOW_MB, HOT_C
from edged.core.findings import Finding, ok, problem, unavailable, warning

WARM_C = 75.0
NEARLY_FULL_MB = 256.0
"""What is worth a word before it is a problem of `condition.py`, whose limits count here, too."""
SPARE_MB = 48.0
"""So much memory should be left for what comes: a picture, a log, a login."""
SET_UTC_S = 1_735_689_600.0
"""The beginning of 2025: a clock that says less was never set since the board was made."""

COOL = "give it air or a heat sink, keep it out of the sun, or lower [camera] fps"
SUPPLY = "use a supply made for this board, with a short cable, and take power-hungry USB devices off it"
MEMORY_CGROUP = (
    "add cgroup_enable=memory to the one line of /boot/firmware/cmdline.txt and restart; until then only edged's own "
    "watch over its memory ends a process that grows"
)


def clock(is_synced: bool, setter: str | None, utc_s: float) -> Finding:
    """Whether events get a time that can be believed.

    Args:
        is_synced: whether a time server has set the clock, by the kernel.
        setter: what runs here and sets it; None where nothing does, or it cannot be told.
        utc_s: what the clock says.
    """
    if is_synced:
        return ok("clock", f"set by a time server{f' ({setter})' if setter else ''}")
    wrong = "; it says a year before 2025" if utc_s < SET_UTC_S else ""
    if setter is None:
        return warning(
            "clock",
            f"no time server sets it{wrong}",
            "have one set it: sudo apt install systemd-timesyncd; until then events are labelled unsynced",
        )
    return warning(
        "clock",
        f"{setter} runs, but no time server has set the clock yet{wrong}",
        "wait a minute; if it stays, let the board reach a time server (UDP port 123), or name one of your network",
    )


def power(undervoltage: bool | None, throttled: bool | None) -> Finding:
    """Whether the supply is strong enough now, and the board runs at its full speed."""
    if undervoltage:
        return problem("power", "the supply is too weak now: under-voltage", SUPPLY)
    if throttled:
        return warning("power", "the firmware slows the board down now", f"{COOL}; {SUPPLY}")
    if undervoltage is None and throttled is None:
        return unavailable("power", "this kernel has no driver that tells of under-voltage or slowing down")
    told = [
        text for value, text in ((undervoltage, "no under-voltage"), (throttled, "not slowed down")) if value is False
    ]
    return ok("power", f"{', '.join(told)} now")


def temperature(temp_c: float | None) -> Finding:
    """Whether the processor is too hot."""
    if temp_c is None:
        return unavailable("temperature", "there is no sensor that the kernel knows")
    if temp_c >= HOT_C:
        return problem("temperature", f"{temp_c:.0f} C: from {HOT_C:.0f} C on the board is slowed down", COOL)
    if temp_c >= WARM_C:
        return warning("temperature", f"{temp_c:.0f} C: from {HOT_C:.0f} C on the board is slowed down", COOL)
    return ok("temperature", f"{temp_c:.0f} C")


def memory(
    total_mb: float | None, available_mb: float | None, has_cgroup: bool | None, limit_mb: float | None
) -> Finding:
    """Whether there is memory left, and whether the service's limit binds.

    Args:
        total_mb, available_mb: of the board, MB of 10^6 bytes.
        has_cgroup: whether the kernel limits the memory of services; None where that cannot be told.
        limit_mb: what the service may take; None where it has no limit or there is no service.
    """
    if total_mb is None or available_mb is None:
        return unavailable("memory", "the kernel does not tell")
    told = f"{available_mb:.0f} of {total_mb:.0f} MB can be had"
    if available_mb < SPARE_MB:
        return warning("memory", f"only {told}", "end what else runs on the board, or take a smaller picture or model")
    if limit_mb is None:
        return ok("memory", told)
    if has_cgroup is False:
        return warning(
            "memory",
            f"{told}; the service's limit of {limit_mb:.0f} MB does not bind: this kernel's memory cgroup is off",
            MEMORY_CGROUP,
        )
    return ok("memory", f"{told}; the service may take {limit_mb:.0f} MB")


def disk(place: str, free_mb: float | None, is_read_only: bool) -> Finding:
    """Whether what must be kept can be kept.

    Args:
        place: the folder that was asked about.
        free_mb: on its file system, for others than root; MB of 10^6 bytes.
    """
    if free_mb is None:
        return unavailable("disk", f"{place} cannot be looked at by this user", "run it with sudo")
    if is_read_only:
        return problem(
            "disk",
            f"{place} is on a read-only file system: events are kept in memory alone",
            "look into `dmesg` for errors of the card; after one, run fsck on it or replace it, then restart",
        )
    room = "free some: `sudo journalctl --vacuum-size=50M`, `sudo apt clean`"
    if free_mb < DISK_LOW_MB:
        return problem("disk", f"{place} is full but for {free_mb:.0f} MB", room)
    if free_mb < NEARLY_FULL_MB:
        return warning("disk", f"{place} is nearly full: {free_mb:.0f} MB free", room)
    return ok("disk", f"{free_mb / 1000:.1f} GB free at {place}")


def csi(dma_heaps: int, media_nodes: int, is_wanted: bool) -> Finding:
    """Whether a CSI camera could be used: what libcamera needs of the kernel.

    Args:
        is_wanted: whether [camera] source is one.
    """
    if dma_heaps and media_nodes:
        return ok("csi", "the kernel has what CSI cameras need (DMA heaps, media devices)")
    lacks = " and no ".join(
        name for name, count in (("DMA heaps", dma_heaps), ("media devices", media_nodes)) if not count
    )
    text = f"this kernel has no {lacks}: CSI cameras cannot be used, USB and network cameras can"
    if is_wanted:
        return problem("csi", text, "use Raspberry Pi OS, or a USB or network camera")
    return unavailable("csi", text)
