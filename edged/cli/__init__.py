"""The command line: one file a command, heavy imports inside the command.

Exit codes: 0 done, 1 failed while running, 2 wrong usage, 78 the configuration or the model cannot be used.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

import edged
from edged.core.errors import ConfigError, EdgedError, ModelError

FAILED, CANNOT_BE_USED = 1, 78
"""78 is EX_CONFIG of sysexits(3): the systemd unit does not restart on it."""

COMMANDS = {
    "run": "run the daemon",
    "demo": "the whole pipeline on a bundled clip, with a broker and a subscriber on this machine",
    "check": "validate the configuration, the model and their fit",
    "doctor": "look for what ails the board, its camera and its broker, and say what to do",
    "cameras": "list the cameras of this machine, with what each can do",
    "classify": "score still images",
    "bench": "measure the loop against bare invoke()",
    "watch": "show what devices say, as it comes",
    "model": "list, install, choose, verify, remove and sign models",
    "forget": "clear everything retained of this device on the broker",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its exit code."""
    # Before numpy comes in: its OpenBLAS would start a thread a core and cost 0.3 s of CPU for nothing.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # What OpenCV has to say of a broken file is said by edged, once and in words.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="edged", description="On-device vision daemon: events out, images never.")
    parser.add_argument("--version", action="version", version=f"edged {edged.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    named = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == named:
            module = importlib.import_module(f"edged.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(execute=module.execute)
    args = parser.parse_args(arguments)
    sys.exit(_execute(args))


def _execute(args: argparse.Namespace) -> int:
    try:
        code: int = args.execute(args)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (ConfigError, ModelError) as error:
        print(error, file=sys.stderr)
        return CANNOT_BE_USED
    except EdgedError as error:
        print(f"edged {args.command}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:
        # Whoever read us has seen enough; Python would complain once more when it flushes stdout at exit.
        _forget_stdout()
        return FAILED
    except OSError as error:
        print(f"edged {args.command}: {error.strerror or error}", file=sys.stderr)
        _forget_stdout()
        return FAILED
    return code


def _forget_stdout() -> None:
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
