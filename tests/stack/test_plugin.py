"""The pytest plugin as a person uses it: the guide word for word, interrupted sessions, failed starts."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.stack_fixture import until
from windtunnel.stack import private
from windtunnel.testing import places

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guides" / "testing.md").read_text()
#: A file that the guide shows, below its name.
FILE = re.compile(r"^In `(dags|tests)`, a file `(\w+\.py)`:\n\n```python\n(.*?)^```", re.M | re.S)
#: A test that is at work on its stack until somebody ends it.
BUSY = """
import pathlib, time

def test_busy(windtunnel):
    run = windtunnel.start("orders")
    run.wait_for("load", "running")
    pathlib.Path("busy").write_text(str(windtunnel.settings.state))
    time.sleep(600)
"""


def commands() -> list[str]:
    """The commands of the guide's first block."""
    block = re.search(r"^```sh\n(.*?)^```", GUIDE, re.M | re.S)
    assert block is not None
    return block[1].splitlines()


def write(project: Path) -> Path:
    """The project of the guide, made by its commands and files."""
    script = "\n".join(commands()[1:]).replace("~/windtunnel/dev python", sys.executable)
    write_files(project)
    # A person who begins with the guide has started no stack, so there are no secrets.
    fresh = environment() | {"WINDTUNNEL_STATE": str(project.parent / "no-stack-yet")}
    subprocess.run(["bash", "-ec", script], cwd=project, env=fresh, check=True)
    assert not (project.parent / "no-stack-yet").exists()
    return project


def write_files(project: Path) -> None:
    """The files that the guide shows, in its folders."""
    for folder, name, text in FILE.findall(GUIDE):
        (project / folder).mkdir(parents=True, exist_ok=True)
        (project / folder / name).write_text(text)


def environment() -> dict[str, str]:
    """A person's: without what this very test session exports."""
    return {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]


def session(
    project: Path, *words: str, timeout: float = 600, **variables: str
) -> subprocess.CompletedProcess[str]:
    """One test session in a project's folder."""
    return subprocess.run(
        command(*words),
        cwd=project,
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def left(state: Path) -> list[str]:
    """The processes of a stack that live."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("WINDTUNNEL_STATE") == str(state):
                found.append(f"{process.pid} {process.name()}")
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = write(tmp_path_factory.mktemp("projects") / "my-dags")
    yield made
    for folder in places.base().glob(f"*/{places.name_of(made)}"):
        private.destroy(places.settings_of(folder / "state"))


def test_the_guide_holds_word_for_word(project: Path) -> None:
    done = session(project, "tests", "--windtunnel=reuse", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    tests = re.findall(r"^def (test_\w+)", "".join(text for *_, text in FILE.findall(GUIDE)), re.M)
    assert len(tests) == 5 and all(f"{name} PASSED" in done.stdout for name in tests)
    assert "the stack is ready after" in done.stdout
    assert "a stack goes on running; end it with: WINDTUNNEL_STATE=" in done.stdout
    kept = sorted(path.name for path in project.iterdir())
    assert kept == ["dags", "requirements.txt", "tests"], "nothing of the project is written"


def test_the_next_session_finds_the_stack_and_two_processes_share_it(project: Path) -> None:
    done = session(project, "tests", "--windtunnel=reuse", "-n", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    assert "starting a stack" not in done.stdout
    assert "a stack goes on running" in done.stdout


def test_a_failed_run_says_why_in_the_test(project: Path) -> None:
    (project / "dags" / "red.py").write_text(
        "from airflow.sdk import dag, task\n"
        "@dag(schedule=None)\n"
        "def red():\n"
        "    @task\n"
        "    def bad():\n"
        "        print('looking for orders')\n"
        "        raise ValueError('no such table: orders')\n"
        "    bad()\n"
        "red()\n"
    )
    (project / "dags" / "wrong.py").write_text(
        "from airflow.sdk import dag\nimport no_such_thing\n"
    )
    (project / "tests" / "test_red.py").write_text(
        "def test_red(windtunnel):\n"
        "    windtunnel.run('red').assert_success()\n"
        "def test_wrong(windtunnel):\n"
        "    windtunnel.run('wrong')\n"
        "def test_missing(windtunnel):\n"
        "    windtunnel.run('tutorial_taskflow_apj')\n"
        "def test_no_task(windtunnel):\n"
        "    windtunnel.run('red')['badd']\n"
        "def test_ended_otherwise(windtunnel):\n"
        "    windtunnel.start('red').wait_for('bad', 'success')\n"
        "def test_never(windtunnel):\n"
        "    windtunnel.start('orders').result(timeout=0.5)\n"
    )
    try:
        done = session(project, "tests/test_red.py", "--windtunnel=reuse")
    finally:
        for name in ("dags/red.py", "dags/wrong.py", "tests/test_red.py"):
            (project / name).unlink()
    assert "6 failed" in done.stdout, done.stdout + done.stderr
    for expected in (
        r"E +bad failed on worker-0, try 1: ValueError: no such table: orders",
        r"E +looking for orders",
        r"E .*wrong.py cannot be imported:",
        r"E .*ModuleNotFoundError: No module named 'no_such_thing'",
        r"E .*there is no DAG 'tutorial_taskflow_apj' in .*did you mean 'tutorial_taskflow_api'\?",
        r"E .*has no task 'badd': did you mean 'bad'\?",
        r"E .*bad is failed and was not seen success",
        r"E .*the run has not ended after 0 s, it is (queued|running)",
    ):
        assert re.search(expected, done.stdout), f"{expected}\n{done.stdout}"


def test_objects_last_as_long_as_their_block_and_a_former_one_comes_back(project: Path) -> None:
    (project / "tests" / "test_objects.py").write_text(
        "def test_objects(windtunnel, windtunnel_airflow):\n"
        "    def variable():\n"
        "        return windtunnel_airflow.call('GET', '/variables/colour')['value']\n"
        "    with windtunnel.variable('colour', 'blue'):\n"
        "        with windtunnel.variable('colour', 'red'):\n"
        "            assert variable() == 'red'\n"
        "        assert variable() == 'blue'\n"
        "    with windtunnel.connection('shop', 'http', host='example.org', password='hidden'):\n"
        "        with windtunnel.connection('shop', 'http', host='example.com'):\n"
        "            pass\n"
        "        found = windtunnel_airflow.call('GET', '/connections/shop')\n"
        "        assert found['host'] == 'example.org' and found['password']\n"
        "    with windtunnel.pool('narrow', 1):\n"
        "        assert windtunnel_airflow.call('GET', '/pools/narrow')['slots'] == 1\n"
        "    names = [row['connection_id'] for row in\n"
        "             windtunnel_airflow.pages('/connections', 'connections')]\n"
        "    assert 'shop' not in names\n"
    )
    done = session(project, "tests/test_objects.py", "--windtunnel=reuse")
    (project / "tests" / "test_objects.py").unlink()
    assert done.returncode == 0, done.stdout + done.stderr


def test_two_sessions_at_once_share_a_stack_and_none_sees_what_the_other_breaks(
    project: Path,
) -> None:
    words = command("tests", "--windtunnel=reuse")
    pair = [
        subprocess.Popen(
            words, cwd=project, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(2)
    ]
    try:
        for process in pair:
            out, _ = process.communicate(timeout=600)
            assert process.returncode == 0 and b"5 passed" in out, out.decode()
    finally:
        for process in pair:
            process.kill()
            process.wait()


@pytest.mark.parametrize("part", ["broker", "database", "worker"])
def test_what_a_killed_session_has_left_away_is_back_for_the_next_one(
    project: Path, part: str
) -> None:
    """Of a stack that a person has started: it is not started anew."""
    (project / "tests" / "test_kill.py").write_text(
        "import os, signal\n"
        "def test_kill(windtunnel):\n"
        f"    with windtunnel.broken({part!r}, how='away'):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    state = places.base() / places.REUSED / places.name_of(project) / "state"

    def attached(file: str) -> subprocess.CompletedProcess[str]:
        return session(project, file, "--windtunnel=attach", WINDTUNNEL_STATE=str(state))

    try:
        ready = session(project, "tests/test_dags.py", "--windtunnel=reuse")
        assert ready.returncode == 0, ready.stdout + ready.stderr
        killed = attached("tests/test_kill.py")
        assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
        done = attached("tests/test_dags.py")
    finally:
        (project / "tests" / "test_kill.py").unlink()
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_changed_helper_module_and_an_interrupted_backfill_are_in_no_ones_way(
    project: Path,
) -> None:
    (project / "dags" / "daily.py").write_text(
        "import time\n"
        "from datetime import datetime\n"
        "from airflow.sdk import dag, task\n"
        "from steps_of_daily import NAMES, SECONDS\n"
        "@dag(schedule='@daily', start_date=datetime(2026, 1, 1))\n"
        "def daily():\n"
        "    for name in NAMES:\n"
        "        task(task_id=name)(lambda: time.sleep(SECONDS))()\n"
        "daily()\n"
    )
    helper = project / "dags" / "steps_of_daily.py"
    helper.write_text("NAMES, SECONDS = ['one'], 0\n")
    (project / "tests" / "test_daily.py").write_text(
        "import signal\n"
        "from datetime import UTC, datetime\n"
        "from pathlib import Path\n"
        "import pytest\n"
        "HELPER = Path('dags/steps_of_daily.py')\n"
        "def test_helper(windtunnel):\n"
        "    assert list(windtunnel.run('daily').assert_success().states) == ['one']\n"
        "    HELPER.write_text(\"NAMES, SECONDS = ['two'], 0\\n\")\n"
        "    assert list(windtunnel.run('daily').assert_success().states) == ['two']\n"
        "def test_backfill(windtunnel):\n"
        "    first, last = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 8, tzinfo=UTC)\n"
        "    HELPER.write_text(\"NAMES, SECONDS = ['slow'], 10\\n\")\n"
        "    windtunnel.run('daily')\n"
        "    signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
        "    signal.setitimer(signal.ITIMER_REAL, 5)\n"
        "    with pytest.raises(KeyboardInterrupt):\n"
        "        windtunnel.backfill('daily', first, last)\n"
        "    HELPER.write_text(\"NAMES, SECONDS = ['fast'], 0\\n\")\n"
        "    first, last = datetime(2026, 1, 9, tzinfo=UTC), datetime(2026, 1, 10, tzinfo=UTC)\n"
        "    assert all(run.success for run in windtunnel.backfill('daily', first, last))\n"
    )
    try:
        done = session(project, "tests/test_daily.py", "--windtunnel=reuse")
    finally:
        for name in ("dags/daily.py", "dags/steps_of_daily.py", "tests/test_daily.py"):
            (project / name).unlink()
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_that_a_test_leaves_ends_with_it_and_stops_no_restart_of_the_stack(
    project: Path,
) -> None:
    (project / "dags" / "forever.py").write_text(
        "import time\n"
        "from airflow.sdk import dag, task\n"
        "@dag(schedule=None)\n"
        "def forever():\n"
        "    @task\n"
        "    def spin():\n"
        "        time.sleep(3600)\n"
        "    spin()\n"
        "forever()\n"
    )
    (project / "tests" / "test_leave.py").write_text(
        "import os, signal\n"
        "def states(airflow):\n"
        "    rows = airflow.pages('/dags/forever/dagRuns', 'dag_runs')\n"
        "    return [row['state'] for row in rows]\n"
        "def test_leave(windtunnel):\n"
        "    windtunnel.start('forever').wait_for('spin', 'running')\n"
        "    windtunnel.pause('orders')\n"
        "def test_next(windtunnel, windtunnel_airflow):\n"
        "    assert states(windtunnel_airflow) == ['failed']\n"
        "    windtunnel.run('orders').assert_success()\n"
        "def test_kill(windtunnel):\n"
        "    windtunnel.start('forever').wait_for('spin', 'running')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (project / "tests" / "test_after.py").write_text(
        "from test_leave import states\n"
        "def test_after(windtunnel, windtunnel_airflow):\n"
        "    assert states(windtunnel_airflow) == ['failed', 'failed']\n"
    )
    try:
        killed = session(project, "tests/test_leave.py", "--windtunnel=reuse", "-v")
        assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
        assert killed.stdout.count("PASSED") == 2, killed.stdout
        (project / ".env").write_text("COLOUR=blue\n")
        done = session(project, "tests/test_after.py", "--windtunnel=reuse")
    finally:
        for name in ("dags/forever.py", "tests/test_leave.py", "tests/test_after.py", ".env"):
            (project / name).unlink(missing_ok=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "starting a stack" in done.stdout


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_session_leaves_nothing(tmp_path: Path, signum: signal.Signals) -> None:
    project = write(tmp_path / "my-dags")
    (project / "requirements.txt").unlink()
    (project / "tests" / "test_busy.py").write_text(BUSY)
    running = subprocess.Popen(
        command("tests/test_busy.py"),
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until("the test is at work", (project / "busy").exists, 300)
        state = Path((project / "busy").read_text())
        assert left(state)
        running.send_signal(signum)
        out, _ = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    if signum == signal.SIGKILL:
        # The next session cleans up before it starts anything of its own.
        (project / "dags").rename(project / "elsewhere")
        assert "no DAG folder" in session(project, "tests/test_busy.py").stdout
    else:
        assert running.returncode == pytest.ExitCode.INTERRUPTED, out
    assert left(state) == []
    assert not state.exists() and not state.parents[1].exists()


def test_a_start_that_failed_fails_each_test_with_the_same_cause(tmp_path: Path) -> None:
    project = write(tmp_path / "my-dags")
    (project / "requirements.txt").write_text("celery==5.4.0\n")
    done = session(project, "tests", "-n", "2")
    assert "5 errors" in done.stdout, done.stdout + done.stderr
    causes = re.findall(r"^E? *(?:Failed: )?windtunnel: the stack did not start", done.stdout, re.M)
    assert len(causes) >= 5
    assert "celery==5.4.0" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.long
def test_it_lives_beside_the_plugins_for_celery_and_for_airflow_without_a_stack(
    project: Path, tmp_path: Path
) -> None:
    """Of pytest-airflow-in-a-box: it exports an AIRFLOW_HOME and a database of its own."""
    uv = shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
    names = ["pytest-celery", "pytest-airflow-in-a-box", "pytest-docker-tools", "docker"]
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), *names]
    subprocess.run(install, check=True)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import pytest; sys.exit(pytest.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "tests/test_dags.py", "-p", "celery.contrib.pytest"],
        cwd=project,
        env=environment() | {"AIRFLOW__CORE__EXECUTOR": "LocalExecutor"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("airflow-in-a-box-", "celery-", "windtunnel-"):
        assert re.search(rf"^plugins: .*{name}", done.stdout, re.M), done.stdout


@pytest.mark.long
def test_ten_sessions_in_a_row_leave_nothing(tmp_path: Path) -> None:
    project = write(tmp_path / "my-dags")
    for _ in range(10):
        done = session(project, "tests/test_dags.py", "-s")
        assert done.returncode == 0, done.stdout + done.stderr
    (project / "tests" / "test_state.py").write_text(
        "def test_state(windtunnel):\n"
        "    from pathlib import Path\n"
        "    Path('state').write_text(str(windtunnel.settings.state))\n"
    )
    assert session(project, "tests/test_state.py").returncode == 0
    state = Path((project / "state").read_text())
    assert left(state) == [] and not state.exists()
    assert list(places.base().glob(f"*/{places.name_of(project)}")) == []


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["one", "two"])
def test_the_tests_of_faults_hold_twenty_times_in_a_row(
    project: Path, processes: tuple[str, ...]
) -> None:
    for number in range(20):
        done = session(project, "tests/test_faults.py", "--windtunnel=reuse", *processes)
        assert done.returncode == 0, f"session {number}\n{done.stdout}{done.stderr}"
