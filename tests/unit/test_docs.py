"""What a newcomer reads is true: commands, options, links, names of tests, tables. Each check is shown to fail."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from tests.unit import compose_rules, docs_checks
from tests.unit.docs_checks import ROOT
from windtunnel.cli import app
from windtunnel.drill.scenarios.catalogue import SCENARIOS
from windtunnel.errors import Exit
from windtunnel.patches.catalogue import PATCHES
from windtunnel.settings import load

DOCUMENTS = docs_checks.documents()
COMPOSE = (ROOT / "process-compose.yaml").read_text()


def document(name: str) -> str:
    return (ROOT / name).read_text()


each_document = pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


@each_document
def test_every_command_shown_can_be_typed(path: Path) -> None:
    assert docs_checks.wrong_commands(path.read_text()) == []


@each_document
def test_every_link_leads_somewhere(path: Path) -> None:
    assert docs_checks.dead_links(path.read_text(), path) == []


@each_document
def test_every_test_and_file_that_is_named_exists(path: Path) -> None:
    assert docs_checks.dead_tests(path.read_text()) + docs_checks.dead_paths(path.read_text()) == []


@each_document
def test_no_path_of_somebodys_machine_is_in_it(path: Path) -> None:
    assert docs_checks.machine_paths(path.read_text()) == []


@each_document
def test_no_sentence_has_more_than_twenty_five_words(path: Path) -> None:
    assert docs_checks.long_sentences(path.read_text()) == []


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("```sh\n./dev windtunnel fly\n```", "no command fly"),
        (
            "```sh\nPORT_OFFSET=1 ./dev windtunnel run hello --config x  # why\n```",
            "no option --config",
        ),
        ("`windtunnel status --yaml`", "no option --yaml"),
        ("```\n$ ./dev process-compose up --detach\n```", "no option --detach"),
        ("`process-compose process drain worker`", "not a command of process-compose"),
        ("`process-compose -f x.yaml upp -D`", "not a command of process-compose"),
        ("```sh\ntrue && ./dev composer up\n```", "composer is not known"),
        ("```sh\ncurl -H $(./dev windtunnel tokens) x\n```", "no command tokens"),
    ],
)
def test_a_command_that_does_not_exist_is_found(document: str, complaint: str) -> None:
    found = docs_checks.wrong_commands(document)
    assert len(found) == 1 and complaint in found[0], found


def test_dead_links_tests_and_paths_are_found() -> None:
    readme = ROOT / "README.md"
    assert docs_checks.dead_links(
        "[a](docs/none.md) [b](#nowhere) [c](https://example.org)", readme
    ) == [
        "docs/none.md is not there",
        "#nowhere: no such heading",
    ]
    assert (
        docs_checks.dead_links("# Two words\n[b](#two-words) [c](CHANGELOG.md#changes)", readme)
        == []
    )
    assert docs_checks.dead_links("[c](CHANGELOG.md#nothing)", readme) == [
        "CHANGELOG.md#nothing: no such heading"
    ]
    here = "tests/unit/test_docs.py"
    assert docs_checks.dead_tests(f"{here}::test_nothing tests/none.py::x {here}::document") == [
        f"{here} has no test_nothing",
        "tests/none.py is not there",
    ]
    assert docs_checks.dead_paths("`src/windtunnel/none.py` and `src/windtunnel/cli.py`") == [
        "src/windtunnel/none.py is not there"
    ]
    assert docs_checks.machine_paths("see /root/x") == ["/root/x"]


def test_a_long_sentence_is_found_wherever_it_stands() -> None:
    long = "Word " + "word " * 25 + "end."
    for text in (long, f"- {long}", f"| a | {long} |", f"Short. {long} Short.", f"# {long}"):
        assert docs_checks.long_sentences(f"Before.\n\n{text}\n\nAfter.") == [long], text
    halves = "Word " + "word " * 20 + "end. " + "Word " + "word " * 20 + "end."
    assert docs_checks.long_sentences(f"{halves}\n\n```sh\n{long}\n```\n") == []


def test_the_known_commands_of_process_compose_are_its_own(tmp_path: Path) -> None:
    for words, options in docs_checks.PROCESS_COMPOSE.items():
        env = {**os.environ, "WINDTUNNEL_STATE": str(tmp_path)}
        shown = subprocess.run(
            ["process-compose", *words, "--help"],
            env=env,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
        # A parent's help is shown for a command that it does not have. `process list` calls itself `list`.
        usage = re.search(r"Usage:\n +process-compose ([a-z -]*[a-z])", shown)
        assert usage is not None and usage[1].split()[-1] == words[-1], words
        known = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", shown))
        assert options <= known, f"{words}: {options - known}"


def test_the_table_of_promises_is_whole_and_every_row_has_a_test() -> None:
    found = docs_checks.promised(document("docs/reference/guarantees.md"))
    wanted = (
        {f"row {n}" for n in range(1, 11)}
        | {f"NFR-{n}" for n in range(1, 6)}
        | {f"acceptance {n}" for n in range(1, 8)}
    )
    assert set(found) == wanted
    assert [name for name, tests in found.items() if not tests] == []
    # The README has the same ten rows, in other words.
    assert list(docs_checks.failures(document("README.md"))) == [str(n) for n in range(1, 11)]


def test_the_readmes_second_command_leaves_the_long_tests_out() -> None:
    shown = document("README.md")
    assert "./dev pytest -m long" in shown
    options = tomllib.loads(document("pyproject.toml"))["tool"]["pytest"]["ini_options"]["addopts"]
    assert re.search(r"-m ['\"]?not long", options), "`./dev pytest` would run for hours"


def test_every_document_is_linked_from_the_readme() -> None:
    readme = document("README.md")
    linked = {
        (ROOT / target.partition("#")[0]).resolve() for target in docs_checks.LINK.findall(readme)
    }
    assert [str(path.relative_to(ROOT)) for path in DOCUMENTS[1:] if path not in linked] == []


def test_every_document_has_a_place_in_the_navigation_of_the_site() -> None:
    placed = re.findall(r"^ +- [^:]+: (\S+\.md)$", document("mkdocs.yml"), re.M)
    wanted = [str(path.relative_to(ROOT)).removeprefix("docs/") for path in DOCUMENTS]
    assert sorted(placed) == sorted(wanted)


def test_the_site_loads_nothing_from_elsewhere() -> None:
    text = document("mkdocs.yml")
    assert re.search(r"^  font: false$", text, re.M), "the theme would load fonts"
    assert "extra_javascript" not in text
    assert re.findall(r"^extra_css: .*$", text, re.M) == ["extra_css: [stylesheets/site.css]"]
    style = document("docs/stylesheets/site.css")
    assert "@import" not in style and "url(" not in style
    # With its address the theme asks GitHub about the repository.
    assert "repo_url:" not in text
    # The theme would fetch the script that draws these.
    assert [str(path) for path in DOCUMENTS if "```mermaid" in path.read_text()] == []


def test_the_chart_shows_the_figures_of_the_benchmarks() -> None:
    figures = json.loads(document("docs/bench.json"))["figures"]
    written = docs_checks.benchmark_medians(document("docs/BENCHMARKS.md"))
    assert {figure["title"] for figure in figures.values()} == set(written)
    chart = document("docs/images/bench.svg")
    for figure in figures.values():
        medians = (figure["windtunnel"]["median"], figure["stock"]["median"])
        assert medians == tuple(map(float, written[figure["title"]])), figure["title"]
        ratio = figure["stock/windtunnel"]
        assert ratio == pytest.approx(medians[1] / medians[0], rel=0.06), figure["title"]
        assert f"({ratio:.1f}x)" in chart, "draw it again: tools/bench-chart"


def test_documents_that_the_sources_refer_to_exist() -> None:
    sources = [
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "tools").glob("*.sh"),
        ROOT / "process-compose.yaml",
        ROOT / "airflow-home" / "airflow.cfg",
    ]
    named = {
        name for path in sources for name in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text())
    }
    assert named, "nothing found: has the way to refer to documents changed?"
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


# -- reference: complete, and nothing that is not there ------------------------------------------


def test_every_process_has_a_row_that_agrees_with_the_file() -> None:
    project = compose_rules.read(COMPOSE)["processes"]
    text, _, _ = document("docs/reference/processes.md").partition("## What waits for what")
    assert docs_checks.first_cells(text) == list(project)
    for name, process in project.items():
        [row] = re.findall(rf"^\| `{name}` .*$", text, re.M)
        log = Path(process["log_location"]).name.replace("{PC_REPLICA_NUM}", "N")
        assert f"`{log}`" in row
        if not name.startswith("worker"):
            signal = {2: "SIGINT", 15: "SIGTERM"}[process["shutdown"].get("signal", 15)]
            assert re.search(
                rf"\| {signal}[^|]*, {process['shutdown']['timeout_seconds']} s \|", row
            ), row


def test_the_page_says_what_each_process_waits_for_as_the_file_has_it() -> None:
    text = document("docs/reference/processes.md")
    _, _, waits = text.partition("## What waits for what")
    ended, started = "process_completed_successfully", "process_started"
    project = compose_rules.read(COMPOSE)["processes"]
    assert docs_checks.first_cells(waits) == list(project)
    for name, process in project.items():
        [row] = re.findall(rf"^\| `{name}` \|(.*)\|$", waits, re.M)
        shown = [set(re.findall(r"`(.+?)`", cell)) for cell in row.split("|")[:2]]
        needs = {n: need["condition"] for n, need in process.get("depends_on", {}).items()}
        assert shown == [{n for n in needs if needs[n] == kind} for kind in (ended, started)], row
        waits_itself = needs.get("migrate") == started
        assert ("by itself" in row) == waits_itself, row


def test_every_variable_has_a_row_and_every_row_a_variable() -> None:
    sources = [
        *(ROOT / "src").rglob("*.py"),
        ROOT / "dev",
        *(ROOT / "tools").glob("*.sh"),
        ROOT / "process-compose.yaml",
    ]
    texts = "\n".join(
        path.read_text() for path in [*sources, ROOT / "tests" / "stack" / "test_browser.py"]
    )
    project = compose_rules.read(COMPOSE)
    wanted = set(load({}, client=False).environment()) | {
        entry.partition("=")[0] for entry in project["environment"]
    }
    wanted |= {
        entry.partition("=")[0]
        for process in project["processes"].values()
        for entry in process.get("environment", [])
    }
    wanted |= set(re.findall(r"\$\{?((?:WINDTUNNEL|WORKER|PC)_[A-Z_]+)", texts))
    wanted |= set(re.findall(r"""["']((?:WINDTUNNEL|WORKER)_[A-Z_]+)["']""", texts))
    rows = docs_checks.first_cells(document("docs/reference/variables.md"))
    assert sorted(wanted - set(rows)) == []
    assert [row for row in rows if not re.search(rf"\b{row}\b", texts)] == []
    assert len(rows) == len(set(rows))


def test_every_scenario_is_in_the_guide_of_the_drills() -> None:
    _, _, rows = document("docs/guides/break-it.md").partition("## What you see, row by row")
    shown = dict(re.findall(r"`([a-z-]+)`(\*?)", rows.partition("\n## ")[0]))
    starred = {name: "*" if each.asked_for else "" for name, each in SCENARIOS.items()}
    assert {name: star for name, star in shown.items() if name in SCENARIOS} == starred


def test_every_patch_is_in_the_table_of_upstream_faults() -> None:
    text = document("docs/reference/upstream.md")
    named = set(re.findall(r"`patches\.(\w+\.\w+)`", text))
    made = {patch.make for patch in PATCHES.values()}
    assert {f"{make.__module__.rpartition('.')[2]}.{make.__name__}" for make in made} == named


def test_every_package_has_a_place_on_the_map() -> None:
    source = ROOT / "src" / "windtunnel"
    there = {f"{path.parent.name}/" for path in source.glob("*/__init__.py")}
    there |= {path.name for path in source.glob("*.py") if path.name != "__init__.py"}
    _, _, rest = document("CONTRIBUTING.md").partition("## Map of the packages")
    rows = re.findall(r"^\| (`.+?`) \|", rest.partition("\n## ")[0], re.M)
    assert set(re.findall(r"`([^`]+)`", " ".join(rows))) == there


def test_every_event_has_a_row_and_every_row_an_event() -> None:
    logged: set[str] = set()
    for package in ("ledger", "worker", "reconciler"):
        for path in (ROOT / "src" / "windtunnel" / package).glob("*.py"):
            logged |= docs_checks.events(path.read_text())
    assert len(logged) > 20, "nothing found: has the way to log an event changed?"
    text = document("docs/reference/state-folder.md")
    table = text[text.index("| event | happened") :].partition("\n\n")[0]
    listed = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines()))
    assert sorted(listed) == sorted(logged)


def test_every_command_option_and_exit_code_is_in_the_reference() -> None:
    text = document("docs/reference/cli.md")
    sections = dict(re.findall(r"^### `windtunnel (\w+)([^#]*(?:#[^#]+)*?)(?=^##|\Z)", text, re.M))
    known = getattr(typer.main.get_command(app), "commands", {})
    assert list(sections) == list(known)
    for name, command in known.items():
        options = {
            opt for parameter in command.params for opt in parameter.opts if opt.startswith("--")
        }
        assert options - {"--help"} == set(re.findall(r"--[a-z][a-z-]*", sections[name])) - {
            "--help"
        }, name
    codes = re.findall(
        r"^\| (\d+) \|", text[text.index("## Exit codes") : text.index("## windtunnel")], re.M
    )
    assert {int(code) for code in codes} == {*map(int, Exit), 130}


def test_decisions_are_numbered_without_gaps_and_say_what_was_rejected() -> None:
    files = [path.relative_to(ROOT) for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert [path.name[:4] for path in files] == [
        f"{number:04d}" for number in range(1, len(files) + 1)
    ]
    for path in files:
        text = document(str(path))
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert all(
            word in text
            for word in ("**Obvious instead:**", "**Why not.**", "**So** ", "**Price:**")
        ), path.name


@pytest.mark.parametrize(
    ("check", "name", "old", "new"),
    [
        (
            test_the_table_of_promises_is_whole_and_every_row_has_a_test,
            "docs/reference/guarantees.md",
            "| 7 | a worker cut off",
            "| x | a worker cut off",
        ),
        (
            test_the_table_of_promises_is_whole_and_every_row_has_a_test,
            "README.md",
            "| 7 | a worker",
            "| x | a worker",
        ),
        (
            test_every_document_has_a_place_in_the_navigation_of_the_site,
            "mkdocs.yml",
            ": adr/0002-launcher.md",
            ": adr/2.md",
        ),
        (
            test_the_site_loads_nothing_from_elsewhere,
            "mkdocs.yml",
            "font: false",
            "font: {text: Roboto}",
        ),
        (
            test_the_chart_shows_the_figures_of_the_benchmarks,
            "docs/bench.json",
            '"median": 5.88',
            '"median": 5.78',
        ),
        (
            test_the_chart_shows_the_figures_of_the_benchmarks,
            "docs/images/bench.svg",
            "(7.5x)",
            "(7.6x)",
        ),
        (
            test_the_table_of_promises_is_whole_and_every_row_has_a_test,
            "docs/reference/guarantees.md",
            "`tests/stack/test_acceptance.py::test_flower",
            "`test_flower",
        ),
        (
            test_every_document_is_linked_from_the_readme,
            "README.md",
            "](docs/reference/cli.md)",
            "]()",
        ),
        (
            test_every_process_has_a_row_that_agrees_with_the_file,
            "docs/reference/processes.md",
            "| `triggerer` |",
            "| triggerer |",
        ),
        (
            test_every_process_has_a_row_that_agrees_with_the_file,
            "docs/reference/processes.md",
            "SIGINT to the main process, 60 s",
            "SIGINT, 6 s",
        ),
        (
            test_every_process_has_a_row_that_agrees_with_the_file,
            "docs/reference/processes.md",
            "| `flower.log` |",
            "| `bloom.log` |",
        ),
        (
            test_the_page_says_what_each_process_waits_for_as_the_file_has_it,
            "docs/reference/processes.md",
            "| `reconciler` | `migrate` |",
            "| `reconciler` | |",
        ),
        (
            test_every_variable_has_a_row_and_every_row_a_variable,
            "docs/reference/variables.md",
            "| `WORKER_QUEUES` |",
            "| |",
        ),
        (
            test_every_variable_has_a_row_and_every_row_a_variable,
            "docs/reference/variables.md",
            "| `BROKER` |",
            "| `BROCKER` |",
        ),
        (
            test_every_event_has_a_row_and_every_row_an_event,
            "docs/reference/state-folder.md",
            "| `task_lost` |",
            "| `task_missed` |",
        ),
        (
            test_every_command_option_and_exit_code_is_in_the_reference,
            "docs/reference/cli.md",
            "`--junit`",
            "`--xml`",
        ),
        (
            test_every_command_option_and_exit_code_is_in_the_reference,
            "docs/reference/cli.md",
            "### `windtunnel token`",
            "### token",
        ),
        (
            test_every_command_option_and_exit_code_is_in_the_reference,
            "docs/reference/cli.md",
            "| 124 |",
            "| 125 |",
        ),
        (
            test_decisions_are_numbered_without_gaps_and_say_what_was_rejected,
            "docs/adr/0002-launcher.md",
            "**Price:**",
            "Price:",
        ),
    ],
)
def test_what_is_missing_or_wrong_in_the_reference_is_found(
    monkeypatch: pytest.MonkeyPatch, check: Callable[[], None], name: str, old: str, new: str
) -> None:
    text = document(name)
    assert old in text, "the document has changed: choose other words to replace"
    here = sys.modules[__name__]
    monkeypatch.setattr(
        here,
        "document",
        lambda asked: text.replace(old, new) if asked == name else (ROOT / asked).read_text(),
    )
    with pytest.raises(AssertionError):
        check()
