"""What a device keeps through faults: the scenarios behind docs/reliability.md, against a real mosquitto on loopback.

    python -m benchmarks.reliability [network] [kills] [offline] [live] [restarts] [flood] [--seed N]

runs them whole, a quarter of an hour; tests/system run a seeded tenth of each and hold it to the same bars.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edged.edges.outbox_fallback import DurableOutbox
from tests.daemon import START_S, Daemon, write_config
from tests.delivery import FastClock, Rig, Subscriber
from tests.drawn import story_clip
from tests.fakes import until
from tests.flood import Flood
from tests.mosquitto import Mosquitto
from tests.network import Network
from tests.outboxes import end, settings, start

SPEED = 30.0
"""The device's clock in `network`: delays of up to a minute shrink to two seconds, a live event is late after one."""
RULE = {"label": "circle", "delay_on_s": 0.0, "delay_off_s": 0.0}
WILL_DELAY_S = 10.0


@dataclass(frozen=True)
class NetworkLoss:
    """What became of `decided` events through `faults` cuts and freezes."""

    decided: int
    faults: int
    connections: int
    seqs: list[int]
    live: int
    late: int
    repeats: int
    in_order: bool
    one_id_each: bool
    problems: list[str]
    seconds: float

    @property
    def holes(self) -> int:
        """Numbers that never arrived."""
        return len(set(range(1, self.decided + 1)) - set(self.seqs))


def network(faults: int, events: int, seed: int, port: int, folder: Path) -> NetworkLoss:
    """Cuts, outages and freezes at random moments while events are decided; then waits until all are delivered."""
    chance, prefix, began_s = random.Random(seed), f"network-{seed}", time.monotonic()
    with (
        Network(port) as link,
        Subscriber(port, f"{prefix}/test") as subscriber,
        Rig(folder, link.port, prefix, speed=SPEED) as rig,
    ):
        rig.run(lambda: bool(subscriber.words), 30)
        for number in range(1, faults + 1):
            _spread(rig, chance, chance.expovariate(1 / 0.8), events * (number - 0.5) / faults)
            kind = chance.choice(("cut", "outage", "freeze"))
            if kind == "freeze":
                link.freeze()
            else:
                link.cut(stays_down=kind == "outage")
            _spread(rig, chance, 0.0 if kind == "cut" else chance.uniform(0.02, 2.5), events * number / faults)
            link.mend()
        rig.run(rig.is_empty, 300)
        until(lambda: len(subscriber.account.ids) >= events, 30)
        decided, told = rig.decided, rig.told
    account = subscriber.account
    return NetworkLoss(
        decided=decided,
        faults=faults,
        connections=link.taken,
        seqs=account.seqs,
        live=len(account.first["event"]),
        late=len(account.first["backlog"]),
        repeats=account.repeats,
        in_order=account.is_in_order(),
        one_id_each=account.has_one_id_each(),
        problems=told,
        seconds=time.monotonic() - began_s,
    )


def _spread(rig: Rig, chance: random.Random, seconds: float, up_to: float) -> None:
    """Lets that time pass, and with it decides events at random moments, until there are so many."""
    begin_s, due = time.monotonic(), math.floor(up_to) - rig.decided
    moments = sorted(chance.uniform(0, seconds) for _ in range(due))

    def decide() -> None:
        while moments and time.monotonic() - begin_s >= moments[0]:
            moments.pop(0)
            rig.decide()

    rig.run(lambda: not moments and time.monotonic() - begin_s >= seconds, 60, decide)


@dataclass
class Kills:
    """What a log that outlived so many kills holds, and what arrived of it."""

    kills: int = 0
    stored: list[tuple[int, str]] = field(default_factory=list)
    waiting: int = 0
    missing: int = 0
    left_open: int = 0
    closed_after: int = 0
    repeats: int = 0
    late: int = 0
    in_order: bool = False
    one_id_each: bool = False
    logs: int = 0
    seconds: float = 0.0

    @property
    def holes(self) -> int:
        """Numbers of the log that no row has."""
        return len(set(range(1, len(self.stored) + 1)) - {seq for seq, _ in self.stored})


def kills(count: int, seed: int, port: int, folder: Path) -> Kills:
    """`edged run` killed again and again; a last one ends well. Twelve visits a second come and go."""
    chance, prefix, began_s = random.Random(seed), f"kills-{seed}", time.monotonic()
    clip = story_clip(folder / "visits.avi", [("circle", 2), ("background", 2)] * 25, fps=50)
    config = _config(folder, port, prefix, f"file:{clip}", 'discovery_prefix = ""', "[outbox]", "drain_per_s = 1000")
    config.write_text(config.read_text().replace("[model]", "fps = 50\n[model]"))
    found, database = Kills(kills=count), folder / "state" / "test" / "outbox.db"
    with Subscriber(port, f"{prefix}/test") as subscriber:
        for _ in range(count):
            with Daemon(config, folder / "state") as daemon:
                if chance.random() < 0.8:
                    # From its first event on; else at any moment of its start.
                    seen = subscriber.account.messages
                    until(lambda seen=seen: subscriber.account.messages > seen, START_S)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    daemon.process.wait(chance.uniform(0.0, 1.0))
                daemon.stop(signal.SIGKILL)
        for _ in range(5):
            with Daemon(config, folder / "state") as daemon:
                seen = subscriber.account.messages
                until(lambda seen=seen: subscriber.account.messages > seen, START_S)
                assert daemon.stop() == 0, daemon.errors.read_text()
            found.stored, found.waiting, starts = _rows(database)
            if not found.waiting:
                break
        ids = {id_ for _, id_ in found.stored}
        with contextlib.suppress(AssertionError):
            until(lambda: ids <= set().union(*subscriber.account.ids.values()), 20)
    account = subscriber.account
    found.missing = len(ids - set().union(*account.ids.values()))
    found.left_open = starts
    found.closed_after = sum(event["reason"] == "daemon_restarted" for event in account.events.values())
    found.repeats, found.late = account.repeats, len(account.first["backlog"])
    found.in_order, found.one_id_each = account.is_in_order(), account.has_one_id_each()
    found.logs = len({log for log, _ in account.ids})
    found.seconds = time.monotonic() - began_s
    return found


def _rows(database: Path) -> tuple[list[tuple[int, str]], int, int]:
    """(seq, id) of every row, how many of them wait, and how many starts no end followed."""
    with contextlib.closing(sqlite3.connect(database)) as store:
        rows = store.execute("SELECT seq, id, event_type, state FROM events ORDER BY seq").fetchall()
    types = [event_type for _, _, event_type, _ in rows]
    # There is one rule: start and end must take turns.
    lonely = sum(one == "start" and after != "end" for one, after in zip(types, [*types[1:], None], strict=True))
    return [(seq, id_) for seq, id_, _, _ in rows], sum(state == 0 for *_, state in rows), lonely


@dataclass(frozen=True)
class Offline:
    """What remained of `decided` events without a broker, and how it followed."""

    decided: int
    kept: int
    dropped: int
    file_bytes: int
    per_row_bytes: float
    arrived: int
    first_seq: int
    in_order: bool
    per_s: float
    live_p50_ms: float
    live: int
    seconds: float


def offline(events: int, max_rows: int, drain_per_s: int, speed: float, port: int, folder: Path) -> Offline:
    """Events without a broker, more than are kept; then it is there, and the rest follows beside live ones.

    Args:
        speed: of the device's clock, for ages and for `drain_per_s`.
    """
    prefix, began_s = f"offline-{events}", time.monotonic()
    with Network(port) as link, Subscriber(port, f"{prefix}/test") as subscriber:
        link.cut(stays_down=True)
        with Rig(folder, link.port, prefix, speed=speed, drain_per_s=drain_per_s, max_rows=max_rows) as rig:
            for _ in range(events // 100):
                rig.decide(100)
                rig.turn()
            counts = rig.outbox.counts()
            file_bytes = sum(file.stat().st_size for file in folder.glob("outbox.db*"))
            # Until the youngest is late: all of it is backlog then.
            decided_s = rig.clock.monotonic()
            rig.run(lambda: rig.clock.monotonic() - decided_s > 31.0, 60)
            link.mend()
            rig.run(lambda: bool(subscriber.account.messages), 60)
            first_s, live_at_s = rig.clock.monotonic(), time.monotonic()
            sent_s: dict[int, float] = {}

            def live() -> None:
                nonlocal live_at_s
                if time.monotonic() >= live_at_s:
                    live_at_s += 0.25
                    sent_s[rig.decide()[0].seq] = time.monotonic()

            backlog = subscriber.account.first["backlog"]
            # The first live ones find no delivered event that could make room for them: they push waiting ones out.
            rig.run(lambda: len(backlog) + rig.outbox.counts().dropped >= events, 3600, live)
            took_s = rig.clock.monotonic() - first_s
            rig.run(lambda: rig.is_empty() and len(subscriber.account.first["event"]) >= len(sent_s), 30)
            dropped = rig.outbox.counts().dropped
    account = subscriber.account
    came_s = account.live_s
    delays = [(came_s[seq] - at_s) * 1000 for seq, at_s in sent_s.items()]
    return Offline(
        decided=events,
        kept=counts.rows,
        dropped=dropped,
        file_bytes=file_bytes,
        per_row_bytes=file_bytes / counts.rows,
        arrived=len(account.first["backlog"]),
        first_seq=min(seq for _, seq in account.first["backlog"]),
        in_order=account.is_in_order() and account.has_one_id_each(),
        per_s=len(backlog) / took_s,
        live_p50_ms=statistics.median(delays),
        live=len(delays),
        seconds=time.monotonic() - began_s,
    )


@dataclass(frozen=True)
class Live:
    """Live events of `edged run` while it drains: their delay, and how much followed."""

    live: int
    p50_ms: float
    p90_ms: float
    highest_ms: float
    drained: int
    seconds: float

    @property
    def per_s(self) -> float:
        """How many of the backlog followed a second."""
        return self.drained / self.seconds


def live(events: int, seconds: float, port: int, folder: Path) -> Live:
    """`edged run` with a full outbox and a clip at 10 frames a second, for so long; the defaults but for the rule."""
    prefix = f"live-{events}"
    (folder / "state" / "test").mkdir(parents=True)
    clip = story_clip(folder / "visits.avi", [("circle", 2), ("background", 2)])
    config = _config(folder, port, prefix, f"file:{clip}", 'discovery_prefix = ""')
    clock = FastClock(1.0)
    box = DurableOutbox(folder / "state" / "test" / "outbox.db", clock, "earlier", "toy@ab12cd34", **settings())
    for _ in range(events // 100):
        now_s = clock.monotonic()
        box.append([(start, end)[number % 2](now_s, "circle") for number in range(100)])
    box.close()
    with Subscriber(port, f"{prefix}/test") as subscriber, Daemon(config, folder / "state") as daemon:
        account = subscriber.account
        until(lambda: len(account.first["backlog"]) > 40, START_S)  # the bucket's first helping is out
        began_s, before, skip = time.monotonic(), len(account.first["backlog"]), len(account.delays_ms)
        until(lambda: time.monotonic() - began_s >= seconds, seconds + 30)
        drained, took_s = len(account.first["backlog"]) - before, time.monotonic() - began_s
        delays = sorted(account.delays_ms[skip:])
        daemon.stop()
    return Live(
        live=len(delays),
        p50_ms=statistics.median(delays),
        p90_ms=delays[int(0.9 * (len(delays) - 1))],
        highest_ms=delays[-1],
        drained=drained,
        seconds=took_s,
    )


@dataclass
class Restarts:
    """Words on `availability` around restarts, and how long the device was away, in seconds."""

    words: dict[str, list[str]] = field(default_factory=dict)
    away_s: dict[str, list[float]] = field(default_factory=dict)
    offline_after_s: dict[str, float] = field(default_factory=dict)


def restarts(times: int, with_ends: bool, port: int, folder: Path) -> Restarts:
    """Ends by SIGTERM and by SIGKILL, each followed by a start; `with_ends`, at last by none, which takes 10 s each."""
    clip = story_clip(folder / "visits.avi", [("circle", 5), ("background", 5)])
    found, root = Restarts(), f"restarts-{times}"
    config = _config(folder, port, root, f"file:{clip}", 'discovery_prefix = ""')
    for number in (signal.SIGTERM, signal.SIGKILL):
        with Subscriber(port, f"{root}/test", number.name) as subscriber:
            words, away, ended_s = subscriber.words, [], time.time()
            for _ in range(times + 1):
                before = len(words)
                with Daemon(config, folder / "state") as daemon:
                    until(lambda heard=words, after=before: len(heard) > after, START_S)
                    away.append(words[-1][1] - ended_s)
                    daemon.stop(number)
                    ended_s = time.time()
            found.words[number.name], found.away_s[number.name] = [word for word, _ in words], away[1:]
            if with_ends:
                until(lambda heard=words: heard[-1][0] == "offline", WILL_DELAY_S + 20)
                found.offline_after_s[number.name] = words[-1][1] - ended_s
    return found


@dataclass(frozen=True)
class Flooded:
    """What a running daemon made of generated commands."""

    sent: int
    answered_within: int
    answers: int
    errors_in_journal: int
    rss_growth_kib: int
    ping_after: bool | None
    seconds: float


def flood(count: int, seed: int, fresh_minute: bool, port: int, folder: Path) -> Flooded:
    """Generated commands at a running daemon; `fresh_minute`, at last a ping when the limit is over."""
    prefix, began_s = f"flood-{seed}", time.monotonic()
    clip = story_clip(folder / "visits.avi", [("circle", 5), ("background", 5)])
    config = _config(folder, port, prefix, f"file:{clip}", 'discovery_prefix = ""')
    with Subscriber(port, f"{prefix}/test") as subscriber, Daemon(config, folder / "state") as daemon:
        until(lambda: bool(subscriber.words) and bool(subscriber.account.messages), START_S)
        flooding = Flood(port, f"{prefix}/test", seed)
        with flooding:
            flooding.requests(10)

            def answers() -> int:
                return sum(len(texts) for topic, texts in subscriber.told.items() if topic.startswith("response/"))

            until(lambda: answers() >= 10, 30)
            within = answers()
            # A fifth of it is the warm-up: each path was gone once.
            flooding.send(count // 5)
            before_kib = _rss_kib(daemon.process.pid)
            flooding.send(count - count // 5)
            seen = subscriber.account.messages
            until(lambda: subscriber.account.messages > seen + 2, 60)
            after_kib = _rss_kib(daemon.process.pid)
            ping = None
            if fresh_minute:
                ping = flooding.ping_until_answered(subscriber, 150)
        total = answers()
        assert daemon.process.poll() is None, daemon.errors.read_text()
        assert daemon.stop() == 0
        journal = daemon.errors.read_text()
    return Flooded(
        sent=flooding.sent,
        answered_within=within,
        answers=total,
        errors_in_journal=journal.count("Traceback") + journal.count("ERROR"),
        rss_growth_kib=after_kib - before_kib,
        ping_after=ping,
        seconds=time.monotonic() - began_s,
    )


def _rss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def _config(folder: Path, port: int, prefix: str, source: str, *more: str) -> Path:
    """A configuration with one rule that decides at once; `more` lines come after those of [mqtt]."""
    path = write_config(folder / "e.toml", source, port, prefix, [RULE])
    path.write_text("\n".join((path.read_text(encoding="utf-8"), *more, "")), encoding="utf-8")
    return path


@contextlib.contextmanager
def surroundings() -> Iterator[tuple[int, Path]]:
    """A mosquitto's port and an empty folder."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    with tempfile.TemporaryDirectory(prefix="edged-") as name:
        folder = Path(name)
        (folder / "broker").mkdir()
        broker = Mosquitto(program, folder / "broker")
        broker.start()
        try:
            yield broker.port, folder
        finally:
            broker.stop()


def _show(name: str, run: Callable[[int, Path], object]) -> None:
    with surroundings() as (port, folder):
        found = run(port, folder)
    print(f"\n{name}", flush=True)
    shown = {key: value for key, value in vars(found).items() if key not in ("seqs", "stored")}
    for key in ("holes", "per_s"):
        if hasattr(found, key):
            shown[key] = getattr(found, key)
    if isinstance(found, Kills):
        shown["stored"] = len(found.stored)
    for key, value in shown.items():
        print(f"  {key}: {value:.1f}" if isinstance(value, float) else f"  {key}: {value}", flush=True)


def main() -> None:
    """The whole forms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rows: dict[str, Callable[[int, Path], object]] = {
        "network": lambda port, folder: network(100, 10_000, seed, port, folder),
        "kills": lambda port, folder: kills(100, seed, port, folder),
        "offline": lambda port, folder: offline(60_000, 50_000, 20, SPEED / 2, port, folder),
        "live": lambda port, folder: live(50_000, 60.0, port, folder),
        "restarts": lambda port, folder: restarts(10, True, port, folder),
        "flood": lambda port, folder: flood(10_000, seed, True, port, folder),
    }
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {', '.join(rows)}; all where none is named")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    seed = args.seed
    unknown = set(args.rows) - set(rows)
    if unknown:
        parser.error(f"expected rows of {', '.join(rows)}, found {', '.join(sorted(unknown))}")
    for name in args.rows or rows:
        _show(name, rows[name])


if __name__ == "__main__":
    main()
