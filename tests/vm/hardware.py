"""What a virtual machine is made of, as QEMU's command line.

Law: a machine reaches nothing outside itself, and at most its one broker port is reached, from this machine's loopback
alone. A state that was saved with some hardware is only understood by the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

INSIDE = Path(__file__).with_name("inside")

# What a start does not need here, by far most of its time. `systemd.mask=` and `systemd.wants=` are the work of
# systemd-debug-generator, which must not be masked itself.
MASKED = (
    "modprobe@configfs.service", "modprobe@drm.service", "modprobe@efi_pstore.service", "modprobe@fuse.service",
    "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
    "dev-hugepages.mount", "dev-mqueue.mount", "proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service",
    "getty@tty1.service", "serial-getty@ttyAMA0.service", "systemd-logind.service", "systemd-user-sessions.service",
    "systemd-random-seed.service", "systemd-sysusers.service", "systemd-update-done.service", "ldconfig.service",
    "systemd-journal-catalog-update.service", "systemd-hwdb-update.service", "systemd-journal-flush.service",
    "systemd-udev-load-credentials.service", "kmod-static-nodes.service",
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer",
)  # fmt: skip
NEEDED_WORDS = "rw panic=-1 console=ttyAMA0 TERM=dumb systemd.wants=t.service"
# Loading the BPF security module takes seconds; the emulated processor has nothing to be mitigated.
QUICK_WORDS = (
    "quiet systemd.show_status=0 lsm=yama mitigations=off nokaslr audit=0 cryptomgr.notests systemd.gpt_auto=0"
)
KERNEL_WORDS_LIMIT = 2048
# QEMU takes names of at most 55 characters, and opt/io.systemd.credentials/systemd.extra-unit.t.service has 55.
CREDENTIALS = {"systemd.extra-unit.t.service": INSIDE / "agent.service", "edged.agent": INSIDE / "agent.sh"}
GUEST_BROKER_PORT = 1883


@dataclass(frozen=True)
class Drive:
    """A disk by the serial number that the machine sees.

    Attributes:
        writes: "refused", "forgotten" (gone with the machine), or "kept" in the file.
        log: also every write and flush in its order, in the format of dm-log-writes.
    """

    serial: str
    file: Path
    writes: Literal["refused", "forgotten", "kept"] = "refused"
    log: Path | None = None

    def options(self) -> list[str]:
        drive = f"if=none,id={self.serial}"
        if self.log is not None:
            drive += f",driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename={self.file}"
            drive += f",log.driver=file,log.filename={self.log},log-sector-size=512"
            # A flush that takes no time has its place in the log at once: no later write comes before it.
            drive += ",file.cache.no-flush=on,log.cache.no-flush=on"
        else:
            drive += f",file={self.file},format=raw"
            drive += {"refused": ",readonly=on", "forgotten": ",snapshot=on", "kept": ""}[self.writes]
        # QEMU before 9.0 may log what is to become zero in the wrong place: the machine writes zeros itself. The same
        # for every disk, since a saved state is only understood by the same hardware.
        features = "discard=off,write-zeroes=off"
        return ["-drive", drive, "-device", f"virtio-blk-pci,drive={self.serial},serial={self.serial},{features}"]


@dataclass(frozen=True)
class Network:
    """One interface that leads nowhere.

    Attributes:
        broker_port: of this machine's loopback, where the broker in the machine is reached.
        capture: everything that the machine sends or gets, in the format of pcap.
    """

    broker_port: int
    capture: Path | None = None

    def options(self) -> list[str]:
        forward = f"hostfwd=tcp:127.0.0.1:{self.broker_port}-:{GUEST_BROKER_PORT}"
        options = ["-netdev", f"user,id=net,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=net,romfile="]
        if self.capture is not None:
            options += ["-object", f"filter-dump,id=dump,netdev=net,file={self.capture}"]
        return options


@dataclass(frozen=True)
class Hardware:
    """One machine.

    Attributes:
        root: the root file system: a drive's serial, or SERIAL:PARTITION.
        masked: without what tests do not need; False: as the image means it, which takes twice as long.
        words: more words for the kernel.
        saved: the running state to go on from, of the same hardware; None: it boots.
    """

    kernel: Path
    initrd: Path
    root: str
    drives: tuple[Drive, ...]
    memory_mib: int = 1024
    network: Network | None = None
    masked: bool = True
    words: str = ""
    saved: Path | None = None

    def kernel_words(self) -> str:
        words = [f"root=serial:{self.root}", NEEDED_WORDS, self.words]
        if self.masked:
            words += [QUICK_WORDS, *(f"systemd.mask={unit}" for unit in MASKED)]
        line = " ".join(filter(None, words))
        assert len(line) < KERNEL_WORDS_LIMIT, "the kernel would cut its command line off"
        return line

    def command(self, ports: dict[str, int], monitor: int) -> list[str]:
        """QEMU's command.

        Args:
            ports: file descriptors of sockets, by the name of the virtio-serial port.
            monitor: that of the socket on which it is managed.
        """
        command = [
            "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", str(self.memory_mib),
            "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
            "-kernel", str(self.kernel), "-initrd", str(self.initrd), "-append", self.kernel_words(),
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control",
        ]  # fmt: skip
        for name, port in ports.items():
            command += ["-chardev", f"socket,id={name},fd={port}"]
            command += ["-device", f"virtserialport,chardev={name},name={name}"]
        for drive in self.drives:
            command += drive.options()
        command += ["-nic", "none"] if self.network is None else self.network.options()
        for name, file in CREDENTIALS.items():
            command += ["-fw_cfg", f"name=opt/io.systemd.credentials/{name},file={file}"]
        return command if self.saved is None else [*command, "-incoming", "defer"]
