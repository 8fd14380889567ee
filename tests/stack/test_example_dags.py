"""Airflow's own example DAGs that need no outside service succeed in one session of the plugin."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import airflow
import pytest

from tests.stack.test_plugin import session
from windtunnel.stack import private
from windtunnel.testing import places

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
PACKAGE = Path(airflow.__file__ or "").parent
#: Where Airflow and its standard provider have their examples.
EXAMPLES = (PACKAGE / "example_dags", PACKAGE / "providers" / "standard" / "example_dags")
NETWORK = "it asks a service on the internet"
WAITS = "it waits for another DAG, a person, a file or a time of day that never comes here"
FAILS = "it is made to fail"
#: DAG -> why it is not asked to succeed.
LEFT_OUT: dict[str, str] = {}
INNER = '''
import json, time
from datetime import UTC, datetime
from pathlib import Path
import pytest

FILE = Path("ids.json")
IDS = json.loads(FILE.read_text()) if FILE.exists() else []


def test_ids(windtunnel_airflow):
    """All files are read when no DAG comes for a while."""
    known, since = [], time.monotonic()
    while time.monotonic() - since < 20:
        found = sorted(row["dag_id"] for row in windtunnel_airflow.pages("/dags", "dags"))
        if found != known:
            known, since = found, time.monotonic()
        time.sleep(1)
    FILE.write_text(json.dumps(known))


@pytest.mark.parametrize("dag_id", IDS)
def test_example(windtunnel, dag_id):
    result = windtunnel.run(dag_id, logical_date=datetime.now(UTC), timeout=120)
    result.assert_success()
'''


def test_the_example_dags_succeed(tmp_path: Path) -> None:
    project = tmp_path / "examples"
    for folder in EXAMPLES:
        ignored = shutil.ignore_patterns("__pycache__", "plugins")
        shutil.copytree(folder, project / "dags", ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(EXAMPLES[0] / "plugins", project / "plugins")
    (project / "tests").mkdir()
    (project / "tests" / "test_examples.py").write_text(INNER)
    try:
        listed = session(project, "tests", "-k", "ids", "--windtunnel=reuse")
        assert listed.returncode == 0, listed.stdout + listed.stderr
        done = session(
            project,
            "tests",
            "-k",
            "example",
            "-v",
            "--tb=short",
            "--windtunnel=reuse",
            timeout=3000,
        )
    finally:
        for folder in places.base().glob(f"*/{places.name_of(project)}"):
            private.destroy(places.settings_of(folder / "state"))
    outcomes = dict(re.findall(r"::test_example\[(\S+)\] (PASSED|FAILED)", done.stdout))
    failed = {dag for dag, outcome in outcomes.items() if outcome != "PASSED"}
    assert failed == LEFT_OUT.keys() & outcomes.keys(), done.stdout
    assert len(outcomes) - len(failed) >= 40
