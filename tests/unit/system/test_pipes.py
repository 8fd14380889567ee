"""Room in the pipes that a process prints into."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="no other kernel widens a pipe")
def test_a_component_prints_on_for_a_while_when_nobody_reads_its_output(tmp_path: Path) -> None:
    """As when process-compose is stopped: the API server would answer nobody either."""
    code = (
        "import sys; from pathlib import Path; from windtunnel.system import pipes\n"
        "pipes.widen_output(); print('x' * 900_000, flush=True); Path(sys.argv[1]).touch()"
    )
    printed = tmp_path / "printed"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(printed)], stdout=subprocess.PIPE
    ) as printer:
        assert printer.wait(20) == 0
        assert printed.exists()
