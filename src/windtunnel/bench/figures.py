"""What is measured, and how large it is in the full and in the quick run."""

from __future__ import annotations

from dataclasses import dataclass

from windtunnel.errors import UsageError


@dataclass(frozen=True)
class Figure:
    """One line of the table. Lower is better for every one of them."""

    name: str
    title: str
    unit: str
    quick: bool = False


@dataclass(frozen=True)
class Sizes:
    """How much of each work. Seconds where not a count."""

    chain: int = 40
    parallel: int = 100
    sleeps: int = 4
    #: So many runs of `parallel` tasks at once.
    many_runs: int = 10
    triggers: int = 7
    settle: float = 15.0
    #: A multiple of the intervals at which unchanged DAG files are read again: 30 s in stock, 120
    #: s in ours.
    idle: float = 120.0

    @property
    def many(self) -> int:
        return self.many_runs * self.parallel

    @property
    def figures(self) -> dict[str, Figure]:
        """By name, in the order of the table."""
        rows = [
            Figure("chain", f"{self.chain} no-op tasks in sequence", "s", quick=True),
            Figure(
                "parallel-2",
                f"{self.parallel} no-op tasks, one worker, concurrency 2",
                "s",
                quick=True,
            ),
            Figure("parallel-16", f"{self.parallel} no-op tasks, one worker, concurrency 16", "s"),
            Figure("cpu", "CPU-seconds per no-op task, whole stack (concurrency 16)", "CPU-s"),
            Figure("sleep", f"{self.sleeps} x `sleep 2`, one worker, concurrency 2", "s"),
            Figure(
                "many",
                f"{self.many} no-op tasks ({self.many_runs} runs of {self.parallel}), "
                "4 workers, concurrency 4",
                "s",
            ),
            Figure(
                "trigger",
                f"trigger by API to first task running, idle stack (median of {self.triggers})",
                "s",
            ),
            Figure("first-run", "empty state to `hello` success", "s", quick=True),
            Figure("up", "warm `up` to all ready", "s", quick=True),
            Figure(
                "idle",
                f"CPU of the idle stack over {self.idle:.0f} s",
                "% of a core",
                quick=True,
            ),
            Figure(
                "memory",
                "memory of the idle stack, one worker (sum of PSS)",
                "MiB",
                quick=True,
            ),
            Figure("down", "`down` of an idle stack", "s", quick=True),
        ]
        return {row.name: row for row in rows}


FULL = Sizes()
QUICK = Sizes(chain=10, parallel=20, sleeps=2, many_runs=2, triggers=3, settle=3.0, idle=5.0)


def choose(names: list[str], sizes: Sizes) -> dict[str, Figure]:
    """The figures of `--only`; by default all, or the quick ones in a quick run.

    Raises `UsageError`.
    """
    known = sizes.figures
    wanted = [name for text in names for name in text.split(",") if name]
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(f"there is no figure {unknown[0]!r}; there are {', '.join(known)}")
    if wanted:
        return {name: figure for name, figure in known.items() if name in wanted}
    return {name: figure for name, figure in known.items() if figure.quick or sizes is not QUICK}
