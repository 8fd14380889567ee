"""The units' text, as systemd's own tools judge it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.nix import unit_file

#: The highest exposure score (0 to 10) that a unit of ours may have, in `systemd-analyze security`.
THRESHOLD = 3.0
JUDGED = [
    "windtunnel-api-server",
    "windtunnel-scheduler",
    "windtunnel-worker-0",
    "windtunnel-dag-processor",
    "windtunnel-triggerer",
]


def analyze() -> str:
    path = shutil.which("systemd-analyze")
    if path is None:
        pytest.skip("no systemd-analyze on PATH (package systemd)")
    return path


def runnable(text: str) -> str:
    """The unit with programs that exist here, since `verify` looks for them."""
    return re.sub(r"(Exec\w+=[+]?)/nix/store/\S+", r"\1/bin/true", text)


def write_units(folder: Path, units: dict[str, Any]) -> list[Path]:
    """Every unit of the machine, so that the ones they name are found; the targets that NixOS has, empty."""
    for name, unit in units.items():
        (folder / f"{name}.service").write_text(runnable(unit["text"]))
    for target in ("network-online", "postgresql", "multi-user"):
        (folder / f"{target}.target").write_text("[Unit]\n")
    return [folder / f"{name}.service" for name in units if name.startswith("windtunnel-")]


def verify(files: list[Path], folder: Path) -> str:
    """What `systemd-analyze verify` says; its exit code is 0 even for an unknown key."""
    done = subprocess.run(
        [analyze(), "verify", "--man=no", *map(str, files)],
        env={"SYSTEMD_UNIT_PATH": f"{folder}:/lib/systemd/system", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stderr + done.stdout


def test_systemd_finds_nothing_wrong_with_any_unit(tmp_path: Path, data: dict[str, Any]) -> None:
    judged = []
    for test in ("single-host", "multi-worker"):
        for node, units in data[test].items():
            folder = tmp_path / f"{test}-{node}"
            folder.mkdir()
            if files := write_units(folder, units):
                judged.append(node)
                assert verify(files, folder) == "", f"{test} {node}"
    assert judged == ["host", "postgres", "scheduler", "worker1", "worker2"], "valkey has none"


def test_systemd_finds_a_key_that_it_does_not_know(tmp_path: Path, units: dict[str, Any]) -> None:
    files = write_units(tmp_path, units)
    files[0].write_text(files[0].read_text().replace("[Service]", "[Service]\nProtectSytem=strict"))
    assert "ProtectSytem" in verify(files, tmp_path)


def score(path: Path) -> float:
    done = subprocess.run(
        [analyze(), "security", "--offline=true", "--no-pager", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    if not found and "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is too old for --offline (250)")
    assert found, done.stdout + done.stderr
    return float(found[1])


@pytest.mark.parametrize("name", JUDGED)
def test_the_unit_is_confined(name: str, tmp_path: Path, units: dict[str, Any]) -> None:
    path = tmp_path / f"{name}.service"
    path.write_text(units[name]["text"])
    assert score(path) <= THRESHOLD


def test_a_unit_without_confinement_scores_above_the_threshold(tmp_path: Path) -> None:
    path = tmp_path / "plain.service"
    path.write_text("[Service]\nExecStart=/bin/true\n")
    assert score(path) > THRESHOLD


def test_no_unit_holds_a_secret_or_lets_one_into_its_arguments(data: dict[str, Any]) -> None:
    for test in ("single-host", "multi-worker"):
        for units in data[test].values():
            for name, unit in units.items():
                if name.startswith("windtunnel-"):
                    assert not re.search(
                        r"://[^/\s]*:[^/\s]*@|password=", unit["text"], re.IGNORECASE
                    ), name


def test_a_worker_lets_its_tasks_end_and_survives_a_hungry_one(units: dict[str, Any]) -> None:
    worker = unit_file.read(units["windtunnel-worker-0"]["text"])
    drain = int(units["windtunnel-worker-0"]["environment"]["WORKER_DRAIN_SECONDS"])
    assert worker["KillMode"] == ["mixed"]
    assert worker["TimeoutStopSec"] == [str(drain + 10)], (
        "the supervisor's own ceiling must come first"
    )
    assert worker["OOMPolicy"] == ["continue"]
    assert worker["StartLimitIntervalSec"] == ["0"]


def test_what_a_draining_worker_needs_is_stopped_after_it(units: dict[str, Any]) -> None:
    after = unit_file.read(units["windtunnel-worker-0"]["text"])["After"][0].split()
    for unit in ("redis-windtunnel", "windtunnel-database", "windtunnel-api-server"):
        assert f"{unit}.service" in after
