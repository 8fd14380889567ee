"""Airflow's own example DAGs that need no outside service succeed in one session of the plugin."""

from __future__ import annotations

import json
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
#: File -> why it is not copied.
LEFT_OUT_FILES = {
    "example_inlet_event_extra.py": "it names the asset of another example otherwise, and Airflow "
    "activates the one that it reads first",
}
#: DAG -> why it is not asked to succeed.
LEFT_OUT = {
    "example_dag_decorator": "it asks a service on the internet",
    "tutorial_objectstorage": "it asks a service on the internet, and imports pandas",
    "example_external_task_marker_child": "it waits for a run of another DAG of the same date",
    "example_hitl_operator": "it waits for a person",
    "example_sensors": "it waits for a file and a time of day",
    "example_failed_dag": "it is made to fail",
    "example_retry_policy": "it is made to fail, and waits for minutes between its tries",
    "example_params_ui_tutorial": "it has a parameter without a default, which a person types",
    "example_passing_params_via_test_command": "it is made for `airflow tasks test`",
    "example_task_state_store_async": "it calls a method that Airflow 3.3.2 does not have (aget)",
}
INNER = '''
import json, time
from datetime import UTC, datetime
from pathlib import Path
import pytest

FILE = Path("ids.json")
LEFT_OUT = json.loads(Path("left_out.json").read_text())
IDS = [name for name in json.loads(FILE.read_text()) if name not in LEFT_OUT] if FILE.exists() else []


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
        ignored = shutil.ignore_patterns("__pycache__", "plugins", *LEFT_OUT_FILES)
        shutil.copytree(folder, project / "dags", ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(EXAMPLES[0] / "plugins", project / "plugins")
    (project / "tests").mkdir()
    (project / "tests" / "test_examples.py").write_text(INNER)
    (project / "left_out.json").write_text(json.dumps(LEFT_OUT))
    try:
        listed = session(project, "tests", "-k", "test_ids", "--windtunnel=reuse")
        assert listed.returncode == 0, listed.stdout + listed.stderr
        done = session(
            project,
            "tests",
            "-k",
            "not test_ids",
            "-v",
            "--tb=short",
            "--windtunnel=reuse",
            timeout=3000,
        )
    finally:
        for folder in places.base().glob(f"*/{places.name_of(project)}"):
            private.destroy(places.settings_of(folder / "state"))
    passed = re.search(r"^=+ (\d+) passed, 1 deselected", done.stdout, re.M)
    assert done.returncode == 0 and passed, done.stdout
    assert int(passed[1]) >= 90
    known = json.loads((project / "ids.json").read_text())
    assert LEFT_OUT.keys() <= set(known), "a reason for a DAG that is not there"
