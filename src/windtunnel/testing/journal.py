"""What the tests of a session did to the stack, for the report: runs started, parts broken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Started:
    """A run that a test started. `time` is in Unix seconds."""

    dag_id: str
    run_id: str
    time: float
    #: The factor by which waiting was shorter at its start; 1 for none.
    impatience: float = 1.0


@dataclass
class Fault:
    """A part that a test broke, such as `worker-0`.

    `began` and `ended` are in Unix seconds. `ended` is the end of the block, when the part is back
    or has been given up; None within the block.
    """

    name: str
    how: str
    began: float
    ended: float | None = None


@dataclass
class Journal:
    """Oldest first."""

    runs: list[Started] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    #: Passwords that tests have given to connections.
    secrets: list[str] = field(default_factory=list)

    def note_run(self, dag_id: str, run_id: str, impatience: float = 1.0) -> None:
        self.runs.append(Started(dag_id, run_id, time.time(), impatience))

    def is_within(self) -> bool:
        """Whether several blocks are open."""
        return len([fault for fault in self.faults if fault.ended is None]) > 1

    @contextmanager
    def noting(self, how: str, block: AbstractContextManager[str]) -> Iterator[str]:
        """Note the fault that a block makes. The block's value is the name of what is broken."""
        began = time.time()
        fault: Fault | None = None
        try:
            with block as name:
                fault = Fault(name, how, began)
                self.faults.append(fault)
                yield name
        finally:
            if fault:
                fault.ended = time.time()
