"""The one line of a stack that did not come up."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pytest

from windtunnel.settings import Settings, load
from windtunnel.stack import failed_start

FAILED = "windtunnel: `airflow db migrate` failed: the lines above have its reason\n"
TRACE = """migrating the database …
Traceback (most recent call last):
  File "/e/lib/python3.11/site-packages/airflow/configuration.py", line 821, in <module>
    conf = initialize_config()
  File "/e/lib/python3.11/site-packages/cosmos/__init__.py", line 12, in <module>
    from cosmos.airflow.dag import DbtDag
  File "/e/lib/python3.11/site-packages/airflow/settings.py", line 58, in <module>
    from airflow.configuration import AIRFLOW_HOME, conf
ImportError: cannot import name 'conf' from partially initialized module
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)
    found.logs.mkdir()
    return found


def test_a_package_that_does_not_fit_airflow_is_named_with_the_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = {"cosmos": ["astronomer-cosmos"], "airflow": ["apache-airflow-core", "my-airflow"]}
    ours = metadata.version("apache-airflow-core")
    found = {"astronomer-cosmos": "1.10.0", "apache-airflow-core": ours}
    monkeypatch.setattr(metadata, "packages_distributions", lambda: owners)
    monkeypatch.setattr(metadata, "version", found.__getitem__)
    log = settings.logs / "migrate.log"
    log.write_text(TRACE + FAILED)
    why = failed_start.reason(settings, 300)
    assert why.startswith("`airflow db migrate` failed: ImportError: cannot import name 'conf'")
    step = (
        f"astronomer-cosmos 1.10.0 does not load with Airflow {ours}: pin another version of it, or"
    )
    assert (
        f"{step} apache-airflow==3.1.8 or 3.2.2" in why
        and why.endswith(f"({log})")
        and "above" not in why
    )
    log.write_text(TRACE.replace("cosmos", "sqlalchemy") + FAILED)
    assert "does not load" not in failed_start.reason(settings, 300), "a package of ours"


def test_other_failures_are_the_last_line_of_the_newest_step(settings: Settings) -> None:
    (settings.logs / "prepare.log").write_text("first\nwindtunnel: no room\n\n")
    log = settings.logs / "migrate.log"
    assert failed_start.reason(settings, 300).startswith("no room (")
    log.write_text(FAILED)
    assert failed_start.reason(settings, 300).startswith("`airflow db migrate` failed: the lines")
    os.utime(log, (0, 0))
    assert failed_start.reason(settings, 300).startswith("no room ("), "of a former start"
