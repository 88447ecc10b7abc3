"""The command `nncore`: `train` learns the digits, `fit` and `predict` are for tables, `info` shows the machine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import nncore as nn
from nncore.cli import digits, tables
from nncore.output import write


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the command's name; by default ``sys.argv[1:]``.

    Returns
    -------
    int
        The exit status: 0, 1 after an error (a table or a model that does not fit, a file that could not be read or
        written, a reader of the output that went away), 2 for wrong options, 130 after Ctrl-C.
    """
    options = parser().parse_args(arguments)
    try:
        options.run(options)
        if not getattr(sys.stdout, "closed", True):  # None and a program's own object have no such attribute
            sys.stdout.flush()  # what could not be written is still there, and is an error now
    except KeyboardInterrupt:
        write(sys.stderr, "\nnncore: stopped\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at exit
        return 1
    except (OSError, tables.Refused) as error:
        write(sys.stderr, f"nncore: {error}\n")
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    top = argparse.ArgumentParser(prog="nncore", description="Neural networks on CPUs, at the speed of the CPU.")
    top.add_argument("--version", action="version", version=f"nncore {nn.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    info = commands.add_parser("info", help="show versions, instruction sets and threads")
    info.set_defaults(run=lambda _: nn.show_config())
    digits.add_commands(commands)
    tables.add_commands(commands)
    return top
