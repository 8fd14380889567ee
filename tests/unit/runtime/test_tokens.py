"""Tokens bear the time of day: with the shipped settings a clock that steps back refuses none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = """
import datetime, sys
from unittest import mock
import jwt.api_jwt
from airflow.api_fastapi.auth import tokens
from airflow.configuration import conf
settings = dict(secret_key="x" * 64, audience="a", issuer=None)
token = tokens.JWTGenerator(valid_for=600, **settings).generate({"sub": "task"})
class Earlier(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.now(tz) - datetime.timedelta(seconds=float(sys.argv[1]))
with mock.patch.object(jwt.api_jwt, "datetime", Earlier):
    print(tokens.JWTValidator(**settings).validated_claims(token)["sub"])
"""


@pytest.mark.parametrize("seconds", [60, 36_000])
def test_a_token_outlives_a_clock_that_steps_back(tmp_path: Path, root: Path, seconds: int) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "database-url").write_text("sqlite://")
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(root / "airflow-home"),
        "WINDTUNNEL_STATE": str(tmp_path),
        "DAGS_FOLDER": str(tmp_path),
    }
    env |= {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite://",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(seconds)],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split()[-1:] == ["task"], done.stderr[-2000:]
