"""`python -m local up|down|status|demo|run -- COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from local.layout import PARTS, STATE_DIR


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description="The whole system on this machine.")
    parser.add_argument("--state-dir", type=Path, default=STATE_DIR, help="where data, logs and passwords are kept")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything and leave it running")
    commands.add_parser("down", help="stop everything")
    commands.add_parser("status", help="show every part")
    commands.add_parser("demo", help="up, demo data, every pipeline once, summary")
    run = commands.add_parser("run", help="run a command with the variables of the running system")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    supervise = commands.add_parser("supervise", help="(used by up and demo)")
    supervise.add_argument("--parts", default=",".join(PARTS))
    supervise.add_argument("--any-ports", action="store_true")
    return parser.parse_args(argv)


def _run(state_dir: Path, argv: Sequence[str]) -> int:
    """Become the command; `python` and `.venv/bin/python` work as written."""
    from local import envfile

    command = list(argv[1:] if argv[:1] == ["--"] else argv)
    if not command:
        print("run: a command is missing: python -m local run -- COMMAND", file=sys.stderr)
        return 2
    variables = envfile.read(state_dir / "env")
    if not variables:
        print("run: the system was never started here: make up", file=sys.stderr)
        return 1
    try:
        os.execvpe(command[0], command, os.environ | variables)  # noqa: S606 - that is its job
    except OSError as error:
        print(f"run: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


def main(argv: Sequence[str]) -> int:
    """Run one command; every failure is one line and exit code 1."""
    options = _arguments(argv)
    state_dir = options.state_dir.resolve()
    if options.command == "run":
        return _run(state_dir, options.argv)
    if options.command == "supervise":
        from local.supervisor import supervise

        return supervise(state_dir, options.parts.split(","), usual_ports=not options.any_ports)
    from local import commands, demo
    from local.launcher import LaunchError

    try:
        if options.command == "up":
            return commands.up(state_dir)
        if options.command == "down":
            return commands.down(state_dir)
        if options.command == "status":
            return commands.status(state_dir)
        return demo.main(state_dir)
    except (LaunchError, demo.DemoError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
