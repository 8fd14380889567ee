"""`airflow scheduler`, whose helper process ends with it: `python -m windtunnel.scheduler`.

Airflow serves the scheduler's health (port 8974) from a child process. After `kill -9` of the scheduler that child goes on
answering, keeps the port, and holds the output pipe by whose end process-compose notices a crash, so that nothing is
started again. Here the kernel ends such a child together with its parent.
"""

from __future__ import annotations

import os
import sys

from windtunnel import procfs


def main() -> None:
    """Replace nothing of Airflow's: the same command line in the same process."""
    # Runs in each child forked by the main thread; programs that a child executes later do not inherit it (prctl(2)).
    os.register_at_fork(after_in_child=procfs.die_with_parent)
    from airflow.__main__ import main as airflow

    sys.argv = ["airflow", "scheduler", *sys.argv[1:]]
    airflow()


if __name__ == "__main__":
    main()
