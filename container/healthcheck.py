"""The health check of the container: is the loop of edged still finishing its work?

edged tells its supervisor of finished turns with `WATCHDOG=1`, a datagram to $NOTIFY_SOCKET (sd_notify(3)), at least
three times in $WATCHDOG_USEC. In a container nobody listens; this takes systemd's place for so long and no longer, and
what is sent between two checks is lost. So no file is written, and no port is open. A camera or a broker that is away
keeps no turn from its end: only a loop that hangs is silent.

Exit code 0: heard. 1: not, with a sentence. The standard library alone, so that it starts in a moment.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time

_CREDENTIALS = struct.Struct("iii")  # struct ucred of unix(7): process, user, group


def heard(listener: socket.socket, limit_s: float) -> bool:
    """Whether a process of this container reported a finished turn within the time."""
    end_s = time.monotonic() + limit_s
    while (left_s := end_s - time.monotonic()) > 0:
        listener.settimeout(left_s)
        try:
            data, control, _, _ = listener.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        except TimeoutError:
            break
        # With the network of the host its other containers could send here, too. The kernel names the sender, and
        # calls a process that is not of this container number 0.
        senders = [_CREDENTIALS.unpack(content)[0] for _, kind, content in control if kind == socket.SCM_CREDENTIALS]
        if b"WATCHDOG=1" in data.splitlines() and any(senders):
            return True
    return False


def main() -> int:
    """One check, in the environment that edged itself has."""
    name, usec = os.environ.get("NOTIFY_SOCKET", ""), os.environ.get("WATCHDOG_USEC", "")
    if not name or not usec.isdigit():
        print("expected NOTIFY_SOCKET and WATCHDOG_USEC, as the image sets them; leave them as they are")
        return 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            listener.bind("\0" + name[1:] if name.startswith("@") else name)
        except OSError as error:
            print(f"cannot listen at {name} ({error.strerror}); set NOTIFY_SOCKET to a name that nothing else uses")
            return 1
        if heard(listener, int(usec) / 1e6):
            return 0
    print(f"expected a finished turn within {int(usec) / 1e6:g} s and heard of none: edged hangs or has not begun")
    return 1


if __name__ == "__main__":
    sys.exit(main())
