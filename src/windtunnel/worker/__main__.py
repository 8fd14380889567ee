"""`python -m windtunnel.worker`: the supervisor of one Celery worker."""

from __future__ import annotations

import sys

from windtunnel.worker.supervisor import main

if __name__ == "__main__":
    sys.exit(main())
