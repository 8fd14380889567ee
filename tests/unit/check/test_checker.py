"""What is asked of a checker wrongly, what it does at its end, and what it cannot start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from windtunnel.check import parser
from windtunnel.check.checker import Checker, check_file
from windtunnel.errors import UsageError, WindtunnelError

DAG = "from airflow.sdk import DAG\ndag = DAG('{}', schedule=None)\n"


@pytest.fixture(autouse=True)
def no_other_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WINDTUNNEL_PROJECT", "WINDTUNNEL_STATE", "DAGS_FOLDER", "WORKER_QUEUES"):
        monkeypatch.delenv(name, raising=False)


def project(root: Path, **files: str) -> Path:
    (root / "dags").mkdir()
    for stem, text in files.items():
        (root / "dags" / f"{stem}.py").write_text(text)
    return root.resolve()


def servers(root: Path) -> list[psutil.Process]:
    """The server of a project and its children, as far as they live."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "windtunnel.check.server" in each.cmdline() and each.cwd() == str(root):
                found.append(each)
    return found


def wait_until(is_true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it never was"
        time.sleep(0.05)


def test_one_file_alone_can_be_checked(tmp_path: Path) -> None:
    root = project(tmp_path, a=DAG.format("a"))
    report = check_file(root / "dags" / "a.py", root)
    assert report.dags == {"a": []} and report.findings == []
    assert servers(root) == []


def test_airflowignore_and_files_outside_of_the_folders_are_respected(tmp_path: Path) -> None:
    root = project(tmp_path, a=DAG.format("a"), left_out=DAG.format("b"))
    (root / "dags" / ".airflowignore").write_text("left_out.py\n")
    (root / "other.py").write_text(DAG.format("c"))
    with Checker.of(root) as checker:
        assert checker.files() == [root / "dags" / "a.py"]
        assert checker.files([root / "other.py"]) == [root / "other.py"]
        assert checker.check(root / "other.py").dags == {"c": []}


@pytest.mark.parametrize(
    ("path", "part"), [("dags/none.py", "is not there"), ("dags/a.txt", "neither Python nor")]
)
def test_a_path_that_holds_no_dags_is_wrong_usage(checker: Checker, path: str, part: str) -> None:
    file = checker.target.root / path
    if file.suffix == ".txt":
        file.touch()
    with pytest.raises(UsageError, match=part):
        checker.files([file])


def test_a_project_without_a_dag_folder_is_wrong_usage(tmp_path: Path) -> None:
    with Checker.of(tmp_path) as checker, pytest.raises(UsageError, match="no DAG folder"):
        checker.files()


def test_settings_of_the_project_that_fail_are_named(tmp_path: Path) -> None:
    root = project(tmp_path, a=DAG.format("a"))
    (root / "config").mkdir()
    (root / "config" / "airflow_local_settings.py").write_text("raise SystemExit('my settings')\n")
    with pytest.raises(WindtunnelError, match=r"has ended .*my settings"):
        Checker.of(root).__enter__()
    assert servers(root) == []


def test_settings_of_the_project_that_hang_end_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(tmp_path, a=DAG.format("a"))
    (root / "config").mkdir()
    (root / "config" / "airflow_local_settings.py").write_text("import time; time.sleep(1000)\n")
    monkeypatch.setattr(parser, "START_SECONDS", 5.0)
    monkeypatch.setattr(parser, "STOP_SECONDS", 0.5)
    with pytest.raises(WindtunnelError, match="not imported within 5 s"):
        Checker.of(root).__enter__()
    assert servers(root) == []


def test_a_file_that_survives_its_abort_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal, time\nsignal.signal(signal.SIGABRT, signal.SIG_IGN)\n"
    loop = "while True:\n    try: time.sleep(9)\n    except BaseException: pass\n"
    root = project(tmp_path, a=DAG.format("a") + stubborn + loop)
    (root / ".env").write_text("AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT=2\n")
    report = check_file(root / "dags" / "a.py", root)
    assert [each.kind for each in report.findings] == ["timeout"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_when_the_checking_process_is_ended_nothing_is_left(
    tmp_path: Path, number: signal.Signals
) -> None:
    root = project(tmp_path, a=DAG.format("a") + "import time; time.sleep(1000)\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    code = f"""
from pathlib import Path
from windtunnel.check.checker import check_file
check_file(Path({str(root / "dags" / "a.py")!r}), Path({str(root)!r}))
"""
    command = [sys.executable, "-c", code]
    env = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: len(servers(root)) == 2, 60)
        process.send_signal(number)
    wait_until(lambda: not servers(root))
    wait_until(lambda: not list(temporary.iterdir()))


def test_a_secrets_backend_may_hold_every_connection(tmp_path: Path) -> None:
    hook = (
        "from airflow.sdk import DAG\ndag = DAG('a', schedule=None)\ndef f(): MyHook('elsewhere')\n"
    )
    root = project(tmp_path, a=hook)
    assert [each.kind for each in check_file(root / "dags/a.py", root).findings] == ["connection"]
    backend = "airflow.secrets.local_filesystem.LocalFilesystemBackend"
    (root / ".env").write_text(f"AIRFLOW__SECRETS__BACKEND={backend}\n")
    assert check_file(root / "dags/a.py", root).findings == []
