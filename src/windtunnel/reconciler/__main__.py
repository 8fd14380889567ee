"""`python -m windtunnel.reconciler`: repairs the damage of a crash."""

from __future__ import annotations

import sys

from windtunnel.reconciler.reconciler import main

if __name__ == "__main__":
    sys.exit(main())
