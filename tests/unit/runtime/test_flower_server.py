"""Flower without Airflow gets what Airflow would give it, and says so where it cannot."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.runtime.test_celery_config import ROOT, configured
from windtunnel.runtime.airflow_options import AirflowOptions, OutOfReach, converted
from windtunnel.runtime.flower_server import celery_settings, command_line

BOTH = """
import json
from windtunnel.runtime.airflow_options import AirflowOptions
from windtunnel.runtime.flower_server import celery_settings, command_line
ours, line = celery_settings(AirflowOptions()), command_line(AirflowOptions())
from airflow.configuration import conf
from windtunnel.runtime.celery_config import CELERY_CONFIG
theirs = {key: CELERY_CONFIG.get(key) for key in ours}
names = {"address": "flower_host", "port": "flower_port", "url-prefix": "flower_url_prefix", "basic-auth": "flower_basic_auth"}
wanted = {f"--{name}={conf.get('celery', key)}" for name, key in names.items() if conf.get("celery", key)}
app = conf.get("celery", "celery_app_name")
print(json.dumps([ours, theirs, sorted(line[1:]), sorted(wanted), app]))
"""


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {
            "AIRFLOW__CELERY__FLOWER_URL_PREFIX": "flower",
            "AIRFLOW__CELERY__FLOWER_PORT": "$WINDTUNNEL_API_PORT",
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__SOCKET_TIMEOUT": "7.5",
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__GLOBAL_KEYPREFIX": "mine",
            "AIRFLOW__OPERATORS__DEFAULT_QUEUE": "other",
            "AIRFLOW__CELERY__RESULT_BACKEND_CMD": "echo -n db+postgresql+psycopg2://elsewhere",
        },
    ],
)
def test_flower_gets_what_airflow_would_give_it(tmp_path: Path, variables: dict[str, str]) -> None:
    done = configured(
        tmp_path,
        BOTH,
        **{"AIRFLOW__CELERY__FLOWER_BASIC_AUTH_CMD": "printf 'admin:a$b~c'"},
        **variables,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs, line, wanted, app = json.loads(done.stdout.splitlines()[-1])
    assert ours == theirs
    assert line == wanted
    assert len(line) == 3 + ("AIRFLOW__CELERY__FLOWER_URL_PREFIX" in variables)
    from windtunnel.runtime.flower_server import APP_NAME

    assert app == APP_NAME


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AIRFLOW__CELERY__EXTRA_CELERY_CONFIG", '{"task_default_priority": 3}'),
        ("AIRFLOW__CELERY__SSL_ACTIVE", "True"),
        ("AIRFLOW__CELERY__BROKER_URL", "sqs://127.0.0.1"),
        ("AIRFLOW__CELERY__BROKER_URL_SECRET", "somewhere"),
        ("AIRFLOW__CELERY__FLOWER_BASIC_AUTH_SECRET", "somewhere"),
        ("AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__SENTINEL_KWARGS", "{}"),
    ],
)
def test_what_only_airflow_can_read_is_left_to_it(name: str, value: str) -> None:
    env = {"AIRFLOW_HOME": str(ROOT / "airflow-home"), "PATH": os.environ["PATH"], name: value}
    env.setdefault("AIRFLOW__CELERY__BROKER_URL", "redis://127.0.0.1:1/0")
    env |= {
        "AIRFLOW__CELERY__RESULT_BACKEND": "db+x://",
        "AIRFLOW__CELERY__FLOWER_BASIC_AUTH": "a:b",
    }
    options = AirflowOptions(env)
    with pytest.raises(OutOfReach):
        celery_settings(options), command_line(options)


def test_values_are_read_as_airflow_reads_a_section() -> None:
    assert [converted(text) for text in ("5", "0.5", "True", "f", "text")] == [
        5,
        0.5,
        True,
        False,
        "text",
    ]


def test_flower_does_not_wait_longer_and_longer_for_the_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flower import events  # type: ignore[import-untyped]

    from windtunnel.patches import catalogue, flower

    class Over(BaseException):
        """Ends a loop that has no end."""

    class Away:
        def connection(self) -> None:
            raise OSError("Connection refused")

    def pauses(module: Any) -> list[float]:
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 8:
                raise Over

        monkeypatch.setattr(module.time, "sleep", sleep)
        stand_in = SimpleNamespace(capp=Away(), on_event=None)
        with pytest.raises(Over):
            events.Events.run(stand_in)
        return slept

    monkeypatch.setattr(events.Events, "run", events.Events.run)  # put back after the test
    assert max(pauses(events)) > 100, "Flower has a ceiling now: remove flower_looks_again_soon"
    assert catalogue.flower_looks_again_soon()
    assert set(pauses(flower)) == {flower.AGAIN_SECONDS}
    assert not catalogue.flower_looks_again_soon()
