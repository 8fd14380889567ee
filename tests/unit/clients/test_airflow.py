"""What Airflow's API answers, as the commands say it."""

from __future__ import annotations

import pytest

from windtunnel.clients.airflow import reason

HEAD = """Traceback (most recent call last):
  File "<frozen importlib._bootstrap>", line 488, in _call_with_frames_removed
"""


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        (
            '  File "/my/dags/a.py", line 9\n    def work(\n            ^\n'
            "SyntaxError: '(' was never closed",
            "SyntaxError: '(' was never closed (line 9)",
        ),
        (
            '  File "/my/dags/a.py", line 3, in <module>\n    import b\n'
            '  File "/my/dags/b.py", line 1, in <module>\n    1 / 0\nZeroDivisionError: by zero',
            "ZeroDivisionError: by zero (line 3)",
        ),
        ('  File "/x/other_a.py", line 1\nValueError', "ValueError"),
    ],
)
def test_the_error_of_a_dag_file_names_the_line_in_that_file(trace: str, said: str) -> None:
    assert reason("a.py", HEAD + trace) == said
