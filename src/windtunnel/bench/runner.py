"""The rounds: one private stack at a time, in turn, and nothing left of any of them."""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from windtunnel.bench import machine, places
from windtunnel.bench.figures import Figure, Sizes
from windtunnel.bench.ours import Ours
from windtunnel.bench.report import value
from windtunnel.bench.result import Result
from windtunnel.bench.stack import Stack
from windtunnel.bench.works import Worker
from windtunnel.errors import WindtunnelError

PREFIX = "windtunnel-bench-"


def bench(figures: dict[str, Figure], sizes: Sizes, *, stock: bool, rounds: int, console: Console) -> Result:
    """Measure; whichever stack is up is gone again when this returns or raises.

    Raises:
        WindtunnelError: a program is missing, a stack does not come up, a run fails. KeyboardInterrupt: after cleaning up.
    """
    places.add_programs_to_path()
    places.require_programs()
    kinds: list[type[Stack]] = [Ours]
    if stock:
        from windtunnel.bench.stock import Stock

        kinds.append(Stock)
    result = Result(figures, machine.facts(), {kind.name: [] for kind in kinds})
    began = time.monotonic()
    former = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        for number in range(rounds):
            # In turn: what warms up or slows down meanwhile must not always meet the same one.
            for kind in kinds if number % 2 == 0 else reversed(kinds):
                _round(kind, result, sizes, f"round {number + 1} of {rounds}, {kind.name}", console)
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)
    result.seconds = time.monotonic() - began
    return result


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _round(kind: type[Stack], result: Result, sizes: Sizes, title: str, console: Console) -> None:
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        # PostgreSQL is another user where we are root: it must be able to pass through, not to look.
        folder.chmod(0o711)
    except OSError as error:
        raise WindtunnelError(f"cannot make a temporary folder ({error.strerror}): set TMPDIR to one that can be written") from None
    stack = kind(folder, sizes)
    with console.status(title) as status:

        def told(name: str, number: float) -> None:
            unit = result.figures[name].unit
            console.print(f"{title}: {name} {value(number, unit)} {unit}", highlight=False, markup=False, soft_wrap=True)

        try:
            worker = Worker(stack, sizes, set(result.figures), lambda text: status.update(f"{title}: {text}"), told)
            result.rounds[kind.name].append(worker.measure())
        finally:
            status.update(f"{title}: removing the private stack")
            _undisturbed(stack)


def _undisturbed(stack: Stack) -> None:
    """A second Ctrl-C must not leave processes behind."""
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        stack.destroy()
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)
