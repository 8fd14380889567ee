"""`python -m windtunnel.reconciler`: what brings back what a crash left half done."""

from __future__ import annotations

import sys

from windtunnel.reconciler.reconciler import main

if __name__ == "__main__":
    sys.exit(main())
