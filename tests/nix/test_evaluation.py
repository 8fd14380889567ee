"""The flake evaluated by the harness: every output on both systems, and what must be refused is.

The quick half takes a minute; what evaluates whole NixOS machines again and again is `long`.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.nix import harness
from tests.nix.harness import ROOT, SYSTEM, clone, track
from windtunnel.project import releases

pytestmark = pytest.mark.usefixtures("evaluation")
TESTS = ["broker-restart", "drain", "multi-worker", "partition", "security", "single-host"]
#: The harness's inputs for a flake that has windtunnel as its only one.
THROUGH_US = {
    "nixpkgs": "nixpkgs",
    "uv2nix": "uv2nix",
    "pyproject-nix": "pyproject-nix",
    "pyproject-build-systems": "build-system-pkgs",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy to be tampered with."""
    return clone(tmp_path / "checkout")


def edit(folder: Path, name: str, old: str, new: str) -> None:
    """Replace the first occurrence; one that is not there is a mistake of the test."""
    text = (folder / name).read_text()
    assert old in text, f"{name} has no {old!r}"
    (folder / name).write_text(text.replace(old, new, 1))


@pytest.mark.long
def test_flake_show() -> None:
    done = harness.run("nix-eval", "flake", "show", "--all-systems")
    assert done.returncode == 0, done.stderr[-3000:]
    for name in (
        "devShells",
        "packages",
        "apps",
        "checks",
        "nixosModules",
        "templates",
        "formatter",
        *TESTS,
    ):
        assert name in done.stdout, name


@pytest.mark.long
def test_flake_check_on_both_systems() -> None:
    """Every output, every NixOS test's driver among them. Seconds: see docs/guides/nix.md."""
    done = harness.run("nix-eval", "flake", "check", "--all-systems")
    assert done.returncode == 0, done.stderr[-3000:]
    for system in ("x86_64-linux", "aarch64-linux"):
        for name in TESTS:
            assert f"checks.{system}.{name}" in done.stderr


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.long
def test_the_script_of_a_nixos_test_has_the_drivers_types(test: str) -> None:
    done = harness.run("lint-test", test)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.long
def test_a_script_that_misuses_a_machine_is_refused(checkout: Path) -> None:
    edit(
        checkout,
        "nixos-tests/single-host.nix",
        'machine.wait_for_unit("windtunnel-migrate.service")',
        "machine.wait_for_unit(1)",
    )
    done = harness.run("lint-test", "single-host", cwd=checkout)
    assert done.returncode != 0
    assert "arg-type" in done.stdout


def test_check_lock() -> None:
    done = harness.run("check-lock")
    assert done.returncode == 0, done.stdout + done.stderr


REFUSED: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "a wrong option type": (
        f"checks.{SYSTEM}.single-host.nodes.host.system.build.toplevel.drvPath",
        lambda f: edit(
            f, "nixos-tests/single-host.nix", "singleHost = true;", 'singleHost = "yes";'
        ),
        "is not of type `boolean'",
    ),
    "an unknown option": (
        f"checks.{SYSTEM}.single-host.nodes.host.system.build.toplevel.drvPath",
        lambda f: edit(
            f, "nixos-tests/single-host.nix", "singleHost = true;", "singleHots = true;"
        ),
        "singleHots' does not exist",
    ),
    "a missing package": (
        f"devShells.{SYSTEM}.default.drvPath",
        lambda f: edit(f, "nix/python.nix", "pkgs.valkey", "pkgs.valkeyy"),
        "attribute 'valkeyy' missing",
    ),
    "a hash that is none": (
        f"packages.{SYSTEM}.default.drvPath",
        # Every wheel that could be chosen for Airflow's core.
        lambda f: tamper(f, "apache_airflow_core-"),
        "hash",
    ),
    "a module that no longer accepts what it must": (
        f"checks.{SYSTEM}.module-refusals.drvPath",
        lambda f: edit(
            f,
            "nix/module/options.nix",
            "types.nullOr types.ints.positive",
            "types.nullOr types.str",
        ),
        "wrongly judged configurations of services.windtunnel",
    ),
}


def tamper(folder: Path, wheel: str) -> None:
    text = (folder / "uv.lock").read_text()
    new = re.sub(rf'(/{wheel}[^"]*\.whl", hash = "sha256:)[0-9a-f]{{8}}', r"\1zzzzzzzz", text)
    assert new != text
    (folder / "uv.lock").write_text(new)


@pytest.mark.parametrize(
    "mistake",
    [pytest.param(name, marks=pytest.mark.long) if "module" in name else name for name in REFUSED],
)
def test_a_mistake_fails_evaluation(mistake: str, checkout: Path) -> None:
    attribute, make, message = REFUSED[mistake]
    make(checkout)
    done = harness.run("nix-eval", "eval", "--raw", f".#{attribute}", cwd=checkout)
    assert done.returncode != 0, f"{mistake} was accepted"
    assert message in done.stderr, done.stderr[-2000:]


def test_a_percent_sign_of_a_setting_is_systemds_in_a_unit_and_itself_elsewhere(
    checkout: Path,
) -> None:
    """`windtunnel-airflow` hands variables to systemd-run, which takes them as they are."""
    edit(
        checkout,
        "nixos-tests/single-host.nix",
        "services.windtunnel.singleHost = true;",
        'services.windtunnel = { singleHost = true; settings.logging.log_format = "%(message)s"; };',
    )
    found = harness.evaluate(
        f"checks.{SYSTEM}.single-host.nodes.host",
        """config: {
          unit = config.systemd.services.windtunnel-scheduler.environment.AIRFLOW__LOGGING__LOG_FORMAT;
          command = (builtins.head (builtins.filter (p: p.name == "windtunnel-airflow")
            config.environment.systemPackages)).text;
        }""",
        checkout,
    )
    assert found["unit"] == "%%(message)s"
    assert "--setenv=AIRFLOW__LOGGING__LOG_FORMAT=%(message)s" in found["command"]


@pytest.mark.long
def test_the_configurations_of_the_module_that_must_be_refused_are() -> None:
    names = harness.evaluate(f"checks.{SYSTEM}.module-refusals.names")
    assert len(names) > 15
    assert "secret-in-settings" in names


def through_us(checkout: Path) -> str:
    ours = [f"windtunnel/{name}=@{tree}" for name, tree in THROUGH_US.items()]
    return " ".join([*(f"{name}=" for name in THROUGH_US), f"windtunnel={checkout}", *ours])


@pytest.fixture
def template(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The template as a user has it: a repository of its own."""
    folder = tmp_path / "my-dags"
    shutil.copytree(
        ROOT / "templates" / "default", folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    track(folder)
    monkeypatch.setitem(os.environ, "NIX_EVAL_INPUTS", through_us(checkout))
    return folder


def test_the_template_is_a_flake_of_its_own_with_its_own_package(template: Path) -> None:
    done = harness.run("nix-eval", "flake", "check", "--all-systems", cwd=template)
    assert done.returncode == 0, done.stderr[-3000:]
    deps = harness.evaluate(
        f"packages.{SYSTEM}.default",
        'd: builtins.unsafeDiscardStringContext "${toString d.NIX_PYPROJECT_DEPS}"',
        template,
    )
    assert re.search(r"-humanize-\d", deps), "the template's own package"
    # Of those in uv.lock the one that needs no group.
    newest = list(releases.RELEASED)[-1]
    assert set(re.findall(r"-apache-airflow-(\d[\d.]*\d)", deps)) == {newest}


def test_an_extra_of_a_package_of_ours_brings_what_it_needs(template: Path) -> None:
    """Our lock has the package without it: `httpx[http2]`, played by one that needs humanize."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    httpx = next(package for package in packages if package["name"] == "httpx")
    wheel = httpx["wheels"][0]
    lock = (template / "uv.lock").read_text()
    needs = '    { name = "humanize" },\n]\n\n[package.metadata]'
    assert needs in lock
    lock = lock.replace(
        needs, '    { name = "httpx", extra = ["http2"] },\n]\n\n[package.metadata]'
    )
    (template / "uv.lock").write_text(
        f"""{lock}
[[package]]
name = "httpx"
version = "{httpx["version"]}"
source = {{ registry = "https://pypi.org/simple" }}
wheels = [ {{ url = "{wheel["url"]}", hash = "{wheel["hash"]}" }} ]

[package.optional-dependencies]
http2 = [ {{ name = "humanize" }} ]
"""
    )
    deps = harness.evaluate(
        f"packages.{SYSTEM}.default",
        'd: builtins.unsafeDiscardStringContext "${toString d.NIX_PYPROJECT_DEPS}"',
        template,
    )
    assert re.search(r"-humanize-\d", deps), "what only the extra needs"


def test_a_template_whose_lock_disagrees_with_ours_is_refused(template: Path) -> None:
    lock = (template / "uv.lock").read_text()
    (template / "uv.lock").write_text(
        lock
        + '\n[[package]]\nname = "rich"\nversion = "1.0"\nsource = { registry = "https://pypi.org/simple" }\n'
    )
    done = harness.run(
        "nix-eval", "eval", "--raw", f".#packages.{SYSTEM}.default.drvPath", cwd=template
    )
    assert done.returncode != 0
    assert "uv.lock pins other versions than windtunnel does" in done.stderr
    assert '"rich==' in done.stderr
    assert "nix run .#uv -- lock" in done.stderr
    # The way out may not need what is refused.
    uv = harness.run("nix-eval", "eval", "--raw", f".#packages.{SYSTEM}.uv.drvPath", cwd=template)
    assert uv.returncode == 0, uv.stderr
