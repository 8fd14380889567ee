"""The module and the dev shell run the same stack as process-compose.yaml: the same processes, commands and variables."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.nix import stack_file, unit_file
from tests.nix.harness import ROOT
from windtunnel.services import state_folder
from windtunnel.services.host_secrets import make
from windtunnel.settings import load
from windtunnel.worker.options import Options

#: Processes whose unit has a name of NixOS's or an own one.
UNITS = {
    "valkey": "redis-windtunnel",
    "postgres": "postgresql",
    "prepare": "windtunnel-prepare",
    "worker": "windtunnel-worker-0",
}
#: Run by other means on NixOS: its own modules, and a generator of secrets without a process-compose.
OTHER_MEANS = {"valkey", "postgres", "prepare"}
#: The module has Valkey only.
NOT_ON_NIXOS = {"rabbitmq"}
#: NixOS adds these to every unit.
OF_NIXOS = {"LOCALE_ARCHIVE", "TZDIR", "PATH"}
#: Where the same thing lies: under process-compose, and on a NixOS host.
PLACES = {
    str(ROOT / "airflow-home"): "/nix/store/source",
    str(ROOT / ".state"): "/var/lib/windtunnel",
    str(ROOT / "dags"): "/nix/store/dags",
}
#: Variables that a role needs besides, with the reason.
BESIDES = {
    # Its file is opened for writing, and credentials are read-only.
    "api-server": {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "/run/windtunnel-api-server/simple-auth-manager.json"
    },
}
#: What hosts with names of their own need besides (nixos-tests/cluster.nix).
SPREAD = {
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://scheduler:8080/execution/",
    "AIRFLOW__API__BASE_URL": "http://scheduler:8080",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.getfqdn",
}
PROCESSES = sorted(set(stack_file.load()["processes"]) - OTHER_MEANS - NOT_ON_NIXOS)


def unit_of(process: str) -> str:
    return UNITS.get(process, f"windtunnel-{process}")


def given(unit: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in unit["environment"].items() if key not in OF_NIXOS}


def test_every_process_has_a_unit_and_every_unit_a_process(
    stack: dict[str, Any], units: dict[str, Any]
) -> None:
    # The role's password, which `windtunnel.services.postgres` sets when it creates the cluster.
    there = set(stack["processes"]) - NOT_ON_NIXOS
    assert set(units) == {unit_of(p) for p in there} | {"windtunnel-database"}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_unit_has_its_processs_variables(
    process: str, stack: dict[str, Any], units: dict[str, Any]
) -> None:
    wanted = {
        key: PLACES.get(value, value)
        for key, value in stack_file.environment(stack, process).items()
    }
    have = given(units[unit_of(process)])
    if (
        process == "worker-heavy"
    ):  # told by its command line there, and here by this variable: see the test below
        assert (wanted.pop("WORKER_QUEUES"), have.pop("WORKER_QUEUES")) == ("default", "heavy")
    assert have == wanted | BESIDES.get(process, {})


@pytest.mark.parametrize("process", PROCESSES)
def test_a_unit_runs_its_processs_command(
    process: str, stack: dict[str, Any], units: dict[str, Any]
) -> None:
    there = shlex.split(stack["processes"][process]["command"].removeprefix("exec "))
    here = unit_file.command(units[unit_of(process)]["text"])
    if process.startswith("worker"):
        assert here[:3] == there[:3] == ["python", "-m", "windtunnel.worker"]
        one = Options.parse(
            there[3:], stack_file.environment(stack, process) | {"PC_REPLICA_NUM": "0"}
        )
        other = Options.parse(here[3:], units[unit_of(process)]["environment"])
        for name in (
            "name",
            "queues",
            "concurrency",
            "drain_seconds",
            "task_memory",
            "broker_port",
            "postgres_port",
        ):
            assert getattr(one, name) == getattr(other, name), name
    else:
        assert here == there


@pytest.mark.parametrize("process", PROCESSES)
def test_a_unit_restarts_and_stops_as_its_process_does(
    process: str, stack: dict[str, Any], units: dict[str, Any]
) -> None:
    there, here = stack["processes"][process], unit_file.read(units[unit_of(process)]["text"])
    if here.get("Type") == ["oneshot"]:
        assert there["availability"]["restart"] == "exit_on_failure"
        assert here["Restart"] == ["on-failure"]
        return
    assert here["Restart"] == [there["availability"]["restart"]] == ["always"]
    assert here["RestartSec"] == [str(there["availability"]["backoff_seconds"])]
    assert here["TimeoutStopSec"] == [str(there["shutdown"]["timeout_seconds"])]
    assert there["shutdown"]["signal"] == 15, (
        "KillSignal= of the units is systemd's default, SIGTERM"
    )
    assert here.get("KillMode", ["control-group"]) == [
        "mixed" if there["shutdown"].get("parent_only") else "control-group"
    ]


@pytest.mark.parametrize(
    ("node", "unit"), [("scheduler", "windtunnel-scheduler"), ("worker1", "windtunnel-worker-0")]
)
def test_hosts_with_names_differ_in_the_urls_only(
    node: str, unit: str, data: dict[str, Any], units: dict[str, Any]
) -> None:
    alone = "windtunnel-worker-0" if "worker" in unit else unit
    spread, single = given(data["multi-worker"][node][unit]), given(units[alone])
    urls = SPREAD | ({"AIRFLOW__API__HOST": "0.0.0.0"} if node == "scheduler" else {})  # noqa: S104
    tuned = {"WORKER_CONCURRENCY", "WORKER_QUEUES"}
    assert {k: v for k, v in spread.items() if k not in tuned} == {
        k: v for k, v in single.items() if k not in tuned
    } | urls


def test_secrets_of_hosts_are_those_of_a_local_stack(tmp_path: Path) -> None:
    """The URLs by role: those that airflow.cfg reads under either supervisor."""
    settings = load({"WINDTUNNEL_STATE": str(tmp_path / "state"), "WINDTUNNEL_ROOT": str(ROOT)})
    state_folder.prepare(settings)
    local = {path.name: path.read_text() for path in settings.secrets.iterdir()}
    assert make(settings.secrets, "127.0.0.1", "127.0.0.1") == [], (
        "nothing that was there is made anew"
    )
    assert {path.name: path.read_text() for path in settings.secrets.iterdir()} == local
    make(settings.secrets, "valkey", "postgres:5432")
    assert (settings.secrets / "broker-url").read_text().rpartition("@")[2] == "valkey:6379/0"
    assert (
        (settings.secrets / "result-backend")
        .read_text()
        .startswith("db+postgresql+psycopg2://airflow:")
    )
    assert (settings.secrets / "result-backend").read_text().endswith("@postgres:5432/airflow")


def test_units_load_the_secrets_that_their_configuration_reads(units: dict[str, Any]) -> None:
    """Every Airflow process reads its configuration whole, so a missing file would end it."""
    needed = {
        "api-secret-key",
        "broker-url",
        "database-url",
        "fernet-key",
        "flower-basic-auth",
        "jwt-secret",
        "result-backend",
    }
    for process in PROCESSES:
        names = {
            line.split(":")[0]
            for line in unit_file.read(units[unit_of(process)]["text"])["LoadCredential"]
        }
        if process != "reconciler":
            assert needed <= names, process
        assert ("simple-auth-manager.json" in names) == (process == "api-server")


def enter(data: dict[str, Any], folder: Path, **more: str) -> dict[str, str]:
    """The variables of the dev shell, entered in this folder. Raises CalledProcessError where its hook ends it."""
    shell = data["shell"]
    env = (
        shell["env"]
        | {"PATH": os.environ["PATH"], "PYTHONPATH": "/somewhere", "HOME": "/home/me"}
        | more
    )
    done = subprocess.run(
        ["bash", "-euc", shell["hook"] + "env -0"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


def test_the_dev_shell_has_the_stacks_variables(data: dict[str, Any]) -> None:
    # Named, as by ./dev: a sandbox has no .git.
    have = enter(data, ROOT, WINDTUNNEL_STATE=str(ROOT / ".state"))
    wanted = stack_file.environment(stack_file.load(), "scheduler")
    wanted.pop(
        "WINDTUNNEL_STACK"
    )  # the mark of a stack's own processes, by which leftovers are found: not a shell's
    assert {key: have.get(key) for key in wanted} == wanted
    assert "PYTHONPATH" not in have
    assert have["PATH"].startswith("/nix/store/windtunnel-dev-env/bin:"), (
        "the launcher must come before process-compose itself"
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As the hook knows one, below a folder with a space in its name."""
    root = tmp_path / "a folder" / "checkout"
    (root / "airflow-home").mkdir(parents=True)
    for name in ("flake.nix", "process-compose.yaml", "airflow-home/airflow.cfg"):
        (root / name).touch()
    return root


def test_the_dev_shell_is_the_checkouts_from_anywhere_in_it(
    checkout: Path, data: dict[str, Any]
) -> None:
    (checkout / ".git").mkdir()
    (checkout / "src").mkdir()
    have = enter(data, checkout / "src")
    assert (have["REPO_ROOT"], have["WINDTUNNEL_STATE"]) == (
        str(checkout),
        str(checkout / ".state"),
    )
    assert "home" not in have


def test_an_archive_without_git_keeps_its_state_where_nix_does_not_copy_it(
    checkout: Path, data: dict[str, Any]
) -> None:
    have = enter(data, checkout)
    assert have["REPO_ROOT"] == str(checkout)
    assert have["WINDTUNNEL_STATE"].startswith("/home/me/.local/state/windtunnel/checkout-")
    assert enter(data, checkout, XDG_STATE_HOME="/s")["WINDTUNNEL_STATE"].startswith(
        "/s/windtunnel/checkout-"
    )
    assert enter(data, checkout, WINDTUNNEL_STATE="/mine")["WINDTUNNEL_STATE"] == "/mine"
    # The specification of XDG's folders: a relative path is to be ignored.
    assert enter(data, checkout, XDG_STATE_HOME="s")["WINDTUNNEL_STATE"].startswith("/home/me/")


def test_the_state_of_an_archive_stays_where_it_is_after_git_init(
    checkout: Path, tmp_path: Path, data: dict[str, Any]
) -> None:
    home = str(tmp_path / "home")
    state = Path(enter(data, checkout, HOME=home)["WINDTUNNEL_STATE"])
    state.mkdir(parents=True)
    (state / "stack.json").touch()
    (checkout / ".git").mkdir()
    assert enter(data, checkout, HOME=home)["WINDTUNNEL_STATE"] == str(state)
    # The stack of a new clone at the same path is its own.
    (checkout / ".state").mkdir()
    (checkout / ".state" / "stack.json").touch()
    assert enter(data, checkout, HOME=home)["WINDTUNNEL_STATE"] == str(checkout / ".state")


def test_a_symlink_to_an_archive_is_the_same_archive(
    checkout: Path, tmp_path: Path, data: dict[str, Any]
) -> None:
    (tmp_path / "link").mkdir()
    link = tmp_path / "link" / "checkout"
    link.symlink_to(checkout)
    states = {
        enter(data, folder, PWD=str(folder))["WINDTUNNEL_STATE"] for folder in (checkout, link)
    }
    assert len(states) == 1


def test_secrets_that_nix_copies_into_its_store_are_pointed_out(
    checkout: Path, data: dict[str, Any]
) -> None:
    (checkout / ".state" / "secrets").mkdir(parents=True)
    (checkout / ".state" / "stack.json").touch()
    shell = data["shell"]["env"] | {"PATH": os.environ["PATH"], "HOME": "/home/me"}
    command = ["bash", "-euc", data["shell"]["hook"] + 'echo "$WINDTUNNEL_STATE"']
    done = subprocess.run(
        command, cwd=checkout, env=shell, capture_output=True, text=True, check=True
    )
    assert "with its secrets into its store" in done.stderr
    assert done.stdout.startswith("/home/me/.local/state/windtunnel/checkout-")
    (checkout / ".git").mkdir()
    done = subprocess.run(
        command, cwd=checkout, env=shell, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (f"{checkout}/.state\n", "")


def test_a_shell_in_the_shell_of_another_checkout_is_this_ones(
    checkout: Path, tmp_path: Path, data: dict[str, Any]
) -> None:
    (checkout / ".git").mkdir()
    other = tmp_path / "other"
    shutil.copytree(checkout, other)
    names = ("WINDTUNNEL_", "DAGS_FOLDER", "REPO_ROOT", "AIRFLOW_HOME", "PORT_OFFSET")
    outer = {k: v for k, v in enter(data, other).items() if k.startswith(names)}
    assert outer["WINDTUNNEL_STATE"] == f"{other}/.state"
    inner = enter(data, checkout, **outer)
    assert str(other) not in " ".join(inner[name] for name in outer)
    named = enter(data, checkout, **outer | {"WINDTUNNEL_STATE": "/named", "DAGS_FOLDER": "/d"})
    assert (named["WINDTUNNEL_STATE"], named["DAGS_FOLDER"]) == ("/named", "/d")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("foreign", ["process-compose.yaml", "airflow-home"])
def test_a_checkout_that_another_user_put_in_the_way_is_refused(
    foreign: str, checkout: Path, data: dict[str, Any]
) -> None:
    (checkout / "mine").mkdir()
    os.chown(checkout / foreign, 4711, 4711)
    with pytest.raises(subprocess.CalledProcessError) as error:
        enter(data, checkout / "mine")
    assert "belongs to another user" in error.value.stderr
    enter(data, checkout / "mine", WINDTUNNEL_ROOT=str(checkout))
    enter(data, checkout / "mine", SUDO_UID="4711")


def test_a_dev_shell_outside_of_a_checkout_says_so(tmp_path: Path, data: dict[str, Any]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        enter(data, tmp_path)
    assert "is in none" in error.value.stderr


def test_the_dev_shell_leaves_no_temporary_folder(
    tmp_path: Path, checkout: Path, data: dict[str, Any]
) -> None:
    """`nix develop` makes one a shell and points TMPDIR at it."""
    made = tmp_path / "tmp" / "nix-shell.A1b2C3"
    made.mkdir(parents=True)
    have = enter(data, checkout, NIX_BUILD_TOP=str(made), TMPDIR=str(made))
    assert not made.exists()
    assert have["TMPDIR"] == have["TMP"] == str(tmp_path / "tmp")


def test_a_dev_shell_whose_temporary_folder_is_missing_has_no_empty_variables(
    checkout: Path, data: dict[str, Any]
) -> None:
    """Nix's script sets them all to what mktemp(1) did not make."""
    names = ("NIX_BUILD_TOP", "TMPDIR", "TMP", "TEMP", "TEMPDIR")
    have = enter(data, checkout, **dict.fromkeys(names, ""))
    assert not set(names) & have.keys()


def test_the_dev_shell_has_what_the_stacks_commands_call(data: dict[str, Any]) -> None:
    packages = " ".join(data["shell"]["packages"])
    for package in (
        "windtunnel-dev-env",
        "uv-",
        "process-compose-",
        "valkey-",
        "postgresql-",
        "coreutils",
        "findutils",
        "gnugrep",
    ):
        assert package in packages, package
