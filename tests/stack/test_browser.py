"""What a person sees in a browser: the run of `parallel` in Airflow, three workers and their tasks in Flower."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.stack_fixture import Stack, until

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine (.ci/run installs Debian's)"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    quiet = [
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    with sync_playwright() as play:
        chromium = play.chromium.launch(
            executable_path=CHROMIUM, args=[*quiet, *sandbox, "--disable-sync"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: WINDTUNNEL_SCREENSHOTS keeps them (those in docs/images were made so)."""
    folder = Path(os.environ.get("WINDTUNNEL_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_the_generated_password_logs_in_and_the_run_of_parallel_is_green(
    stack: Stack, browser: Browser, pictures: Path
) -> None:
    run_id, state = stack.run("parallel", tasks=6, seconds=1)
    assert state == "success"
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(stack.settings.api_url)
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(stack.settings.secret("airflow-password"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible(timeout=30_000)
    page.goto(f"{stack.settings.api_url}/dags/parallel/runs/{run_id}")
    expect(page.get_by_text("success", exact=False).first).to_be_visible(timeout=30_000)
    expect(page.get_by_text("work", exact=False).first).to_be_visible()
    page.screenshot(path=pictures / "airflow-parallel.png")
    page.close()


def test_flower_shows_three_workers_and_the_finished_tasks_with_their_states(
    stack: Stack, browser: Browser, pictures: Path
) -> None:
    stack.scale(3)
    try:
        assert stack.run("parallel", tasks=9, seconds=1)[1] == "success"
        until("three workers are online", lambda: len(stack.flower.online()) == 3, 30)
        name, password = stack.settings.secret("flower-basic-auth").split(":", 1)
        context = browser.new_context(
            http_credentials={"username": name, "password": password},
            viewport={"width": 1400, "height": 700},
        )
        page = context.new_page()
        page.goto(stack.settings.flower_url)
        for number in range(3):
            expect(page.get_by_text(f"worker-{number}@").first).to_be_visible(timeout=20_000)
        page.screenshot(path=pictures / "flower-workers.png")
        page.goto(f"{stack.settings.flower_url}/tasks")
        expect(page.get_by_text("SUCCESS").first).to_be_visible(timeout=20_000)
        page.screenshot(path=pictures / "flower-tasks.png")
        context.close()
    finally:
        stack.scale(1)
