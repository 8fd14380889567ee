"""The rounds: one private stack at a time, in turn, and nothing left of any of them."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from rich.console import Console

from windtunnel.bench import places
from windtunnel.bench.figures import FULL, Figure, Sizes
from windtunnel.bench.growth import Growth
from windtunnel.bench.growth_stack import QUICK_GROWTH, Big, GrowthSizes
from windtunnel.bench.measurements import Worker
from windtunnel.bench.report import value
from windtunnel.bench.result import Result, rounded
from windtunnel.bench.stack import Stack
from windtunnel.bench.windtunnel_stack import Ours
from windtunnel.errors import WindtunnelError
from windtunnel.pages import machine
from windtunnel.patches import catalogue

PREFIX = "windtunnel-bench-"
S = TypeVar("S", bound=Stack)
#: Gets what was found so far, and whether the bench was interrupted.
Told = Callable[[Result, bool], None]


def bench(
    figures: dict[str, Figure],
    sizes: Sizes,
    *,
    stock: bool,
    rounds: int,
    console: Console,
    told: Told | None = None,
) -> Result:
    """Measure; whichever stack is up is gone again when this returns or raises.

    Args:
        told: gets what was found so far, after each round and when it is interrupted.

    Raises:
        WindtunnelError: a program is missing, a stack does not come up, a run fails.
        KeyboardInterrupt: after cleaning up.
    """
    _prepare(console)
    kinds: list[type[Stack]] = [Ours]
    if stock:
        from windtunnel.bench.stock_stack import Stock

        kinds.append(Stock)
    result = Result(figures, machine.facts(), {kind.name: [] for kind in kinds})
    began = time.monotonic()
    whole = False
    try:
        with _interruptible():
            for number in range(rounds):
                # In turn: what warms up or slows down meanwhile must not always meet the same one.
                for kind in kinds if number % 2 == 0 else reversed(kinds):
                    title = f"round {number + 1} of {rounds}, {kind.name}"
                    _round(kind, result, sizes, title, console)
                    if told:
                        told(result, False)
        whole = True
    finally:
        result.seconds = time.monotonic() - began
        if told and not whole:
            told(result, True)
    return result


def _prepare(console: Console) -> None:
    places.prepare_environment()
    places.require_programs()
    if (state := places.own_stack()) is not None:
        console.print(
            f"your own stack is running ({state}) and takes part in every figure: "
            "stop it for better ones",
            soft_wrap=True,
        )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a bench as Ctrl-C does. `nohup` stays in force."""
    former = {
        n: signal.signal(n, _interrupt)
        for n in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(n) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def private(make: Callable[[Path], S]) -> Iterator[S]:
    """A stack in a temporary folder, which leaves nothing when the block ends.

    Raises `WindtunnelError` where there is no room.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        # PostgreSQL is another user where we are root: it must be able to pass through, not to
        # look.
        folder.chmod(0o711)
    except OSError as error:
        raise WindtunnelError(
            f"cannot make a temporary folder ({error.strerror}): "
            "set TMPDIR to one that can be written",
        ) from None
    try:
        stack = make(folder)
    except BaseException:
        shutil.rmtree(folder)
        raise
    try:
        yield stack
    finally:
        # A second Ctrl-C must not leave processes behind.
        former = {
            number: signal.signal(number, signal.SIG_IGN)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            stack.destroy()
        finally:
            for signum, handler in former.items():
                signal.signal(signum, handler)


def _round(kind: type[Stack], result: Result, sizes: Sizes, title: str, console: Console) -> None:
    with console.status(title) as status:

        def told(name: str, number: float) -> None:
            unit = result.figures[name].unit
            console.print(
                f"{title}: {name} {value(number, unit)} {unit}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

        with private(lambda folder: kind(folder, sizes)) as stack:
            worker = Worker(
                stack,
                sizes,
                set(result.figures),
                lambda text: status.update(f"{title}: {text}"),
                told,
            )
            # Before it is whole: an interrupted bench shows what it has.
            result.rounds[kind.name].append(worker.round)
            worker.measure()
            if kind is Ours:
                result.patches = {
                    process: found["patches"]
                    for process, found in catalogue.recorded(stack.state / "run")
                }
            status.update(f"{title}: removing the private stack")


def grow(*, quick: bool, console: Console) -> dict[str, Any]:
    """What `--growth --json` prints. Raises as `bench` does."""
    _prepare(console)
    sizes = QUICK_GROWTH if quick else GrowthSizes()
    facts = machine.facts()
    began = time.monotonic()
    with _interruptible(), console.status("growth") as status:

        def told(text: str) -> None:
            console.print(text, highlight=False, markup=False, soft_wrap=True)

        with private(lambda folder: Big(folder, FULL, made=sizes.folder)) as stack:
            found = Growth(
                stack,
                sizes,
                lambda text: status.update(f"growth: {text}"),
                told,
            ).measure()
    return {
        "version": 1,
        "machine": facts,
        "seconds": round(time.monotonic() - began, 1),
        "growth": rounded(found),
    }
