"""The host name that Airflow records for a process of ours (`[core] hostname_callable`).

On one machine every worker has the same host name, so the UI could not say which worker ran a
task. Inside a worker's tree the name is the worker's; everywhere else it is the machine's, as with
Airflow's default. Logs are not fetched by this name: workers of one stack share the log folder.
"""

from __future__ import annotations

import os
import socket


def worker_or_host() -> str:
    """`worker-0` inside that worker, else the machine's name."""
    return os.environ.get("WINDTUNNEL_WORKER") or socket.getfqdn()
