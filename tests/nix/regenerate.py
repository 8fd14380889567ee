"""`python -m tests.nix.regenerate`: evaluate the flake and write tests/nix/data/*.json anew. Needs the harness."""

from __future__ import annotations

import json
import sys

from tests.nix import harness


def main() -> int:
    if reason := harness.why_not():
        print(reason, file=sys.stderr)
        return 1
    harness.DATA.mkdir(exist_ok=True)
    for name, value in harness.collect().items():
        (harness.DATA / f"{name}.json").write_text(
            json.dumps(value, indent=1, sort_keys=True) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
