"""What a test has changed is undone at its end, or at that of the fixture that changed it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import httpx
import pytest

from tests.unit.testing.dead import let_die
from windtunnel.clients.airflow import Airflow, ApiError
from windtunnel.errors import NoStackError, WindtunnelError
from windtunnel.settings import Settings, load
from windtunnel.stack import scale
from windtunnel.testing import changes, faults
from windtunnel.testing.changes import FOLDER, Changes

pytest_plugins = ["pytester"]

#: A stack whose Airflow notes what is asked of it.
CONFTEST = """
from pathlib import Path
from types import SimpleNamespace
import pytest
from windtunnel.settings import load
from windtunnel.testing.changes import Changes
from windtunnel.testing.options import STACK

done = []
airflow = SimpleNamespace(
    run_state=lambda dag, run: "running",
    fail_run=lambda dag, run: done.append(f"{run} ended"),
    change_dag=lambda dag, is_paused: done.append(f"{dag} {is_paused}"),
)

@pytest.fixture(scope="session")
def windtunnel(pytestconfig):
    state = Path("state").absolute()
    (state / "run").mkdir(parents=True)
    settings = load({"WINDTUNNEL_STATE": str(state)}, client=False)
    stack = SimpleNamespace(settings=settings, changes=Changes(settings, airflow), done=done)
    pytestconfig.stash[STACK] = stack
    return stack
"""


class Answers:
    """Airflow's API; `states` of its runs by id."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.asked: list[str] = []

    def run_state(self, dag_id: str, run_id: str) -> str:
        if run_id not in self.states:
            raise ApiError(httpx.Response(404, text="no such run"))
        return self.states[run_id]

    def fail_run(self, dag_id: str, run_id: str) -> None:
        if self.states[run_id] == "away":
            raise NoStackError("Airflow's API does not answer")
        self.asked.append(f"end {run_id}")

    def change_dag(self, dag_id: str, *, is_paused: bool) -> None:
        if dag_id == "refused":
            raise WindtunnelError("the token is refused")
        self.asked.append(f"{dag_id} {'paused' if is_paused else 'goes on'}")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "run").mkdir()
    return load({"WINDTUNNEL_STATE": str(tmp_path)}, client=False)


def left(settings: Settings) -> list[str]:
    return sorted(file.name for file in (settings.run / FOLDER).glob("*.json"))


def test_a_run_that_goes_on_is_ended_and_one_that_has_ended_keeps_its_state(
    settings: Settings,
) -> None:
    airflow = Answers(late="running", waits="queued", good="success", bad="failed")
    made = Changes(settings, cast(Airflow, airflow))
    for run in ("late", "waits", "good", "bad", "deleted"):
        made.run("etl", run)
    assert len(left(settings)) == 5
    made.undo(made.take(0))
    assert airflow.asked == ["end waits", "end late"]
    assert left(settings) == [] and len(made) == 0


def test_changes_are_undone_newest_first_and_all_of_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow = Answers(lost="away")
    monkeypatch.setattr(scale, "scale", lambda _, count: airflow.asked.append(f"{count} workers"))
    monkeypatch.setattr(faults, "wait_for_workers", lambda _: airflow.asked.append("waited"))
    made = Changes(settings, cast(Airflow, airflow))
    made.paused("etl", False)
    made.run("etl", "lost")
    made.paused("refused", False)
    made.workers(1)
    with pytest.raises(WindtunnelError, match="token is refused"):
        made.undo(made.take(0))
    assert airflow.asked == ["1 workers", "waited", "etl goes on"]
    assert len(left(settings)) == 2, "the next session tries it again"


def test_the_next_session_undoes_what_a_killed_one_has_changed(settings: Settings) -> None:
    airflow = Answers(late="running")
    killed = Changes(settings, cast(Airflow, airflow))
    killed.paused("etl", False)
    killed.run("etl", "late")
    let_die(settings.run / FOLDER)
    Changes(settings, cast(Airflow, airflow)).run("etl", "of this process")
    changes.bring_back(settings, cast(Airflow, airflow))
    assert airflow.asked == ["end late", "etl goes on"]
    assert len(left(settings)) == 1


def test_a_change_lasts_as_long_as_the_test_or_the_fixture_that_made_it(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        "import pytest\n"
        "@pytest.fixture(scope='module')\n"
        "def shared(windtunnel):\n"
        "    windtunnel.changes.run('etl', 'shared')\n"
        "    yield\n"
        "    assert 'shared ended' not in windtunnel.done\n"
        "@pytest.fixture\n"
        "def own(windtunnel):\n"
        "    windtunnel.changes.run('etl', 'own')\n"
        "    yield\n"
        "    assert windtunnel.done == []\n"
        "def test_first(shared, own, windtunnel):\n"
        "    windtunnel.changes.paused('etl', False)\n"
        "    windtunnel.changes.run('etl', 'late')\n"
        "def test_second(shared, windtunnel):\n"
        "    assert windtunnel.done == ['late ended', 'etl False', 'own ended']\n"
        "    windtunnel.done.clear()\n",
        test_other="def test_third(windtunnel):\n    assert windtunnel.done == ['shared ended']\n",
    )
    # By name: test_other comes last.
    (first,) = (path.name for path in pytester.path.glob("test_a_*.py"))
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", first, "test_other.py")
    done.assert_outcomes(passed=3)
