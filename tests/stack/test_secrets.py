"""Secrets stay in their files; every service refuses a caller without one; nothing listens beyond this machine."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import httpx
import psutil
import psycopg2
import pytest
import redis

from tests.stack_fixture import Stack
from windtunnel.brokers.valkey import Valkey
from windtunnel.services.state_folder import generated
from windtunnel.stack import leftovers

GENERATED = generated(Valkey())


def secrets(stack: Stack) -> dict[str, str]:
    return {name: stack.settings.secret(name) for name in GENERATED}


def test_every_secret_file_is_readable_by_its_owner_only(stack: Stack) -> None:
    files = list(stack.settings.secrets.iterdir())
    assert {path.name for path in files} >= set(GENERATED)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    for folder in (stack.settings.secrets, stack.settings.run, stack.settings.socket.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # Valkey's own file holds its password, too.
    assert stat.S_IMODE((stack.settings.state / "valkey" / "valkey.conf").stat().st_mode) == 0o600


def test_no_secret_appears_in_arguments_logs_the_process_list_or_git(stack: Stack) -> None:
    assert stack.run("hello")[1] == "success"
    values = secrets(stack)
    arguments = "\n".join(
        " ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])
    )
    listing = stack.command("process-compose", "process", "list", "-o", "json", check=True).stdout
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=stack.root, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    texts = {"ps": arguments, "process list": listing}
    texts |= {
        str(path): path.read_text(errors="replace")
        for path in stack.settings.logs.rglob("*")
        if path.is_file()
    }
    texts |= {
        name: (stack.root / name).read_text(errors="replace")
        for name in tracked
        if name and (stack.root / name).is_file()
    }
    assert len(texts) > 20
    found = [
        (where, name)
        for where, text in texts.items()
        for name, value in values.items()
        if value in text
    ]
    assert found == []


def test_valkey_refuses_a_caller_without_the_password(stack: Stack) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=stack.settings.ports.valkey).ping()


@pytest.mark.parametrize(("user", "password"), [("airflow", "wrong"), ("postgres", "")])
def test_postgresql_refuses_a_wrong_password_and_its_superuser(
    stack: Stack, user: str, password: str
) -> None:
    with pytest.raises(psycopg2.OperationalError, match=r"authentication failed|no pg_hba"):
        psycopg2.connect(
            host="127.0.0.1",
            port=stack.settings.ports.postgres,
            user=user,
            password=password,
            dbname="airflow",
        )


def test_flower_refuses_a_caller_without_the_password(stack: Stack) -> None:
    for path in ("/", "/workers", "/api/workers", "/api/tasks"):
        assert httpx.get(stack.settings.flower_url + path).status_code == 401


def test_airflow_refuses_a_caller_without_a_token(stack: Stack) -> None:
    assert httpx.get(f"{stack.settings.api_url}/api/v2/dags").status_code == 401
    wrong = httpx.post(
        f"{stack.settings.api_url}/auth/token", json={"username": "admin", "password": "admin"}
    )
    assert wrong.status_code == 401
    token = stack.command("windtunnel", "token", check=True).stdout.strip()
    allowed = httpx.get(
        f"{stack.settings.api_url}/api/v2/dags", headers={"Authorization": f"Bearer {token}"}
    )
    assert allowed.status_code == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_process_compose_answers_no_other_user(stack: Stack) -> None:
    curl = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c"]
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(stack.settings.socket)!r})"
    refused = subprocess.run([*curl, code], capture_output=True, text=True, cwd="/")
    assert refused.returncode != 0 and "PermissionError" in refused.stderr


def test_everything_listens_on_the_loopback_interface_only(stack: Stack) -> None:
    """Read from the kernel's table: an open port of the stack's processes on any other address is a hole."""
    pids = {p.pid for p in leftovers.find(stack.settings)}
    listens, bound = psutil.CONN_LISTEN, psutil.CONN_NONE
    rows = [
        (c.laddr, c.status)
        for c in psutil.net_connections("inet")
        if c.pid in pids and c.status in (listens, bound)
    ]
    sockets = [(address.ip, address.port, status) for address, status in rows if address]
    assert {port for _, port, status in sockets if status == listens} == {
        port for _, port in stack.settings.ports.items()
    }
    assert {ip for ip, _, _ in sockets} <= {"127.0.0.1", "::1"}


def test_a_stack_writes_nothing_into_the_checkout(stack: Stack) -> None:
    home = Path(stack.root / "airflow-home")
    assert sorted(path.name for path in home.iterdir()) == ["airflow.cfg"]
