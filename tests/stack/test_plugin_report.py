"""The report of a red test session (`--windtunnel-report-dir`), as a person finds and reads it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from windtunnel.services.state_folder import GENERATED
from windtunnel.testing.report import entry, folder

pytestmark = pytest.mark.timeout(900)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

DAGS = """
import time
from datetime import timedelta
from airflow.sdk import dag, task

@dag(schedule=None)
def orders():
    @task
    def extract():
        return [1, 2, 3]

    @task(retries=2, retry_delay=timedelta(seconds=1))
    def load(rows):
        time.sleep(4)
        return len(rows)

    @task
    def report(count):
        print("rows:", count)

    report(load(extract()))

@dag(schedule=None)
def red():
    @task
    def parse(text):
        print("about to parse", text)
        return int(text)

    parse("forty-two")

@dag(schedule=None)
def slow():
    @task
    def wait():
        time.sleep(600)

    wait()

orders(), red(), slow()
"""
TESTS = """
import pathlib

def test_a_green_one(windtunnel):
    # For the test of this test: the report must hold none of them.
    secrets = windtunnel.settings.secrets.iterdir()
    pathlib.Path("secrets.txt").write_text("\\n".join(each.read_text() for each in secrets))
    assert windtunnel.status()["state"] == "healthy"

def test_the_worker_is_killed(windtunnel):
    run = windtunnel.start("orders")
    run.wait_for("load", "running")
    with windtunnel.broken("worker", of=run["load"]):
        result = run.result(timeout=120)
    assert result["load"].tries == 1

def test_a_task_raises(windtunnel):
    windtunnel.run("red").assert_success()

def test_a_run_hangs(windtunnel):
    run = windtunnel.start("slow")
    run.wait_for("wait", "running")
    run.result(timeout=2)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after its red session."""
    project = tmp_path_factory.mktemp("shop")
    for name, text in (("dags/shop.py", DAGS), ("tests/test_shop.py", TESTS)):
        (project / name).parent.mkdir()
        (project / name).write_text(text)
    options = ("--windtunnel-workers=2", "--windtunnel-report-dir=report")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests", *options],
        cwd=project,
        env={name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "3 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert f"the report of failed tests is {project}/report/index.html" in done.stdout
    return project


def entries(project: Path) -> dict[str, entry.Entry]:
    found = entry.read_all(project / "report" / folder.TESTS)
    return {each.node.rpartition("::")[2]: each for each in found}


def text_of(project: Path, found: entry.Entry, name: str) -> str:
    return (project / "report" / folder.TESTS / found.folder / name).read_text()


def test_a_killed_worker_is_on_the_time_line_with_both_tries(project: Path) -> None:
    found = entries(project)["test_the_worker_is_killed"]
    assert "tries" in found.message and "assert 2 == 1" in found.message
    load = [each for each in found.runs[0].tries if each.task == "load"]
    assert [(each.number, each.state) for each in load] == [(1, "failed"), (2, "success")]
    fault = found.faults[0]
    assert fault["name"] == load[0].worker and fault["how"] == "killed"
    assert load[0].start is not None and load[0].start < fault["began"] < fault["ended"]
    warned = [event for event in found.events if event["level"] == "warning"]
    assert {"celery_ended", "task_lost"} <= {event["event"] for event in warned}
    # Each line of a supervisor for people is also an event.
    log = text_of(project, found, f"components/{fault['name']}.log")
    assert [event for event in warned if event["text"] in log]
    assert all(text_of(project, found, each.log) for each in load)
    assert "status.json" in found.files and "components/scheduler.log" in found.files


def test_a_task_s_exception_is_in_the_message_and_its_whole_log_in_a_file(project: Path) -> None:
    found = entries(project)["test_a_task_raises"]
    assert "invalid literal for int() with base 10: 'forty-two'" in found.message
    log = text_of(project, found, "tasks/1-red/parse.try-1.log")
    assert "about to parse forty-two" in log and "ValueError: invalid literal" in log
    # Each test has the lines of its own time. Of the test before, only the last task's end may follow.
    former = entries(project)["test_the_worker_is_killed"]
    assert "task_id='load'" in text_of(project, former, "components/scheduler.log")
    assert "task_id='load'" not in text_of(project, found, "components/scheduler.log")


def test_a_run_that_hangs_has_stacks_or_says_why_not(project: Path) -> None:
    found = entries(project)["test_a_run_hangs"]
    assert found.runs[0].state == "running"
    if "stacks.txt" in found.files:
        assert "(pid " in text_of(project, found, "stacks.txt")
    else:
        assert any("py-spy" in note for note in found.notes)


def test_no_secret_of_the_stack_is_in_the_report(project: Path) -> None:
    secrets = [line for line in (project / "secrets.txt").read_text().splitlines() if line]
    assert len(secrets) > len(GENERATED)
    files = [path for path in (project / "report").rglob("*") if path.is_file()]
    assert len(files) > 20
    text = {path: path.read_text() for path in files}
    assert [path for path, has in text.items() if any(each in has for each in secrets)] == []


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (.ci/run installs it)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1000, 360])
def test_the_page_is_read_in_a_browser(
    project: Path, tmp_path: Path, scheme: str, width: int
) -> None:
    pictures = Path(os.environ.get("WINDTUNNEL_SCREENSHOTS") or tmp_path)
    pictures.mkdir(parents=True, exist_ok=True)
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=CHROMIUM, args=["--disable-gpu", "--disable-sync", *sandbox]
        )
        page = browser.new_page(
            viewport={"width": width, "height": 860},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((project / "report" / "index.html").as_uri())
        assert asked == [page.url], "it loads nothing"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", back))) > 384) == (scheme == "light")
        # docs/images/test-report.png is the first one, in light and wide.
        end = page.evaluate("document.querySelector('#test-1').getBoundingClientRect().bottom")
        page.screenshot(
            path=pictures / f"test-report-{scheme}-{width}.png",
            full_page=True,
            clip={"x": 0, "y": 0, "width": width, "height": end + 12},
        )
        bar = page.get_by_role("link", name=re.compile("^orders: load, try 1: failed"))
        # By keyboard: Tab reaches the bar, Enter opens the log.
        for _ in range(60):
            page.keyboard.press("Tab")
            if bar.evaluate("bar => bar === document.activeElement"):
                break
        page.keyboard.press("Enter")
        page.wait_for_url("**/load.try-1.log")
        assert "load" in page.inner_text("body")
        browser.close()
