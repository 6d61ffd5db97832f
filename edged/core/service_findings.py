"""What systemd, the files and the other processes of a board mean for the service. Figures in, findings out."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edged.core.findings import Finding, ok, problem, unavailable, warning

CANNOT_BE_USED = 78
"""EX_CONFIG of sysexits(3), which systemd does not restart on."""
RESTARTS = 3

_WORDS = {
    "any": ("0.0.0.0/0", "::/0"),
    "localhost": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/64"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
}
"""What systemd.resource-control(5) abbreviates."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A service as systemd knows it.

    Attributes:
        name: such as edged.service.
        load, active, enabled, result: systemd's own words: LoadState, ActiveState, UnitFileState, Result.
        exit_status: of its main process, when that last ended.
        restarts: since it was last started by hand or at boot.
        main_pid: None where it does not run.
        user: that it runs as; empty for root.
        memory_max_bytes, core_limit_bytes: None for no limit.
        allow, deny: IPAddressAllow and IPAddressDeny, drop-ins included.
        hidden: folders that its sandbox takes away from it, with all that is in them.
        credentials: the name of each credential and the file it is loaded from.
        is_stale: a file of it is newer than what systemd has read.
    """

    name: str
    load: str
    active: str = "inactive"
    enabled: str = ""
    result: str = "success"
    exit_status: int = 0
    restarts: int = 0
    main_pid: int | None = None
    user: str = ""
    memory_max_bytes: int | None = None
    core_limit_bytes: int | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    credentials: Mapping[str, str] = field(default_factory=dict)
    is_stale: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether systemd knows a file of it."""
        return self.load == "loaded"

    @property
    def is_running(self) -> bool:
        """Whether it runs or is about to."""
        return self.active in ("active", "activating", "reloading")


def service(unit: Unit | None, config: str) -> Finding:
    """Whether the service runs, and will after a restart of the board.

    Args:
        unit: None where there is no systemd to be asked.
        config: the configuration, for the advice.
    """
    if unit is None:
        return unavailable("service", "systemd does not run here, or does not answer")
    name = unit.name
    if not unit.is_installed:
        return unavailable("service", f"there is no {name}", "to have edged run for good, install it, see README.md")
    if unit.active == "failed" or (unit.active == "activating" and unit.result != "success"):
        return _failed(unit, config)
    if unit.is_stale:
        return warning(
            "service",
            f"{name} runs with an older unit file than is on the disk" if unit.is_running else f"{name} has changed",
            f"sudo systemctl daemon-reload && sudo systemctl restart {name}",
        )
    if not unit.is_running:
        return warning("service", f"{name} does not run", f"sudo systemctl enable --now {name}")
    if unit.enabled not in ("enabled", "enabled-runtime", "static", "indirect"):
        return warning("service", f"{name} runs, but will not after a restart", f"sudo systemctl enable {name}")
    if unit.restarts >= RESTARTS:
        return warning(
            "service", f"{name} runs, after {unit.restarts} restarts", f"read why: journalctl -u {name} -p warning"
        )
    return ok("service", f"{name} runs{f' as {unit.user}' if unit.user else ''} and starts with the board")


def _failed(unit: Unit, config: str) -> Finding:
    name = unit.name
    if unit.exit_status == CANNOT_BE_USED and unit.result == "exit-code":
        return problem(
            "service",
            f"{name} has ended: its configuration or its model cannot be used (exit code {CANNOT_BE_USED})",
            f"mend what `edged check --config {config}` says, then: sudo systemctl restart {name}",
        )
    how = f"exit code {unit.exit_status}" if unit.result == "exit-code" else unit.result
    return problem("service", f"{name} has ended ({how})", f"read why: journalctl -u {name} -n 50")


def core_dumps(unit: Unit | None) -> Finding:
    """Whether a picture could reach the disk when a process dies."""
    if unit is None or not unit.is_installed:
        return ok("core dumps", "edged forbids them to itself when it starts")
    if unit.core_limit_bytes == 0:
        return ok("core dumps", "forbidden by the service and by edged itself")
    return warning(
        "core dumps",
        f"edged forbids them to itself; {unit.name} does not, so that one could be written before it has started",
        f"sudo systemctl edit {unit.name}: LimitCORE=0 under [Service]",
    )


def network_lock(unit: Unit | None, peers: Mapping[str, Sequence[str]]) -> Finding:
    """Whether the sandbox lets the service reach what it must reach, at the addresses that they have now.

    Args:
        peers: what is to be reached ("broker", "camera", "name server") and its addresses; without any where its name
            does not resolve.
    """
    if unit is None or not unit.is_installed:
        return unavailable("network lock", "there is no service whose network could be locked")
    if not unit.deny:
        return warning(
            "network lock",
            f"{unit.name} may reach every address",
            "use the unit of the package, which keeps to private networks: it has IPAddressDeny=any",
        )
    allow, deny = _networks(unit.allow), _networks(unit.deny)
    shut, partly = list[str](), list[str]()
    for what, addresses in peers.items():
        out = [address for address in addresses if not _may_reach(address, allow, deny)]
        if out:
            (shut if len(out) == len(addresses) else partly).append(f"the {what} is at {', '.join(out)}")
    if shut or partly:
        found = f"{'; '.join(shut + partly)}, which {unit.name} may not reach"
        advice = (
            f"sudo edged-lock {unit.name.removesuffix('.service')} allows the addresses of now; best, have your router "
            "give it a fixed one"
        )
        return problem("network lock", found, advice) if shut else warning("network lock", found, advice)
    told = [f"{what} ({', '.join(addresses)})" for what, addresses in peers.items() if addresses]
    return ok(
        "network lock", f"{unit.name} may reach {', '.join(told) or 'what the unit allows'}, and no other network"
    )


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(words: Sequence[str]) -> list[_Network]:
    return [ipaddress.ip_network(text, strict=False) for word in words for text in _WORDS.get(word, (word,))]


def _may_reach(address: str, allow: Sequence[_Network], deny: Sequence[_Network]) -> bool:
    """As the kernel decides with systemd's filter: what is allowed passes, then what is denied does not."""
    place = ipaddress.ip_address(address.partition("%")[0])
    return any(place in one for one in allow) or not any(place in one for one in deny)


@dataclass(frozen=True, slots=True)
class Possession:
    """Whose a file or folder is.

    Attributes:
        owner, group: names, or numbers without a name.
        mode: permission bits.
        is_folder: what it is.
    """

    path: str
    owner: str
    group: str
    mode: int
    is_folder: bool = False


def secrets(files: Sequence[Possession], unseen: Sequence[str], user: str, readable: Mapping[str, bool]) -> Finding:
    """Whether others than edged can read or replace what only edged may read.

    Args:
        files: those that were looked at, and the folders that hold them.
        unseen: paths that this user may not look at.
        user: that the service runs as; empty where there is none.
        readable: for files that the service reads itself, whether that user may.
    """
    if not files and not unseen:
        return ok("secrets", "the configuration names none")
    for one in files:
        if one.mode & 0o002:
            return problem("secrets", f"every user can replace what is in {one.path}", f"sudo chmod o-w {one.path}")
        if one.mode & 0o004 and not one.is_folder:
            return problem("secrets", f"every user can read {one.path}", f"sudo chmod o-r {one.path}")
    for path, may in readable.items():
        if not may:
            return problem(
                "secrets",
                f"the service runs as {user}, who may not read {path}",
                f"sudo chgrp {user} {path} && sudo chmod 640 {path}, or give it to the service as a credential",
            )
    if unseen:
        return unavailable("secrets", f"this user may not look at {', '.join(unseen)}", "run it with sudo")
    named = [one.path for one in files if not one.is_folder]
    return ok("secrets", f"{', '.join(named)}: read by {_readers(files)} alone")


def _readers(files: Sequence[Possession]) -> str:
    names = dict.fromkeys(one.owner for one in files if not one.is_folder)
    names |= dict.fromkeys(f"group {one.group}" for one in files if not one.is_folder and one.mode & 0o040)
    return " and ".join(names)
