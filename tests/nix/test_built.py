"""The flake really built and run, where `nix-realise` is set up: a real Nix, a stand-in for nixpkgs.

Only on request: `./dev pytest -m long tests/nix/test_built.py --durations=0`. Its figures are in docs/guides/nix.md.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.nix import harness
from tests.nix.harness import ROOT, SYSTEM, clone, track

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        harness.why_not("nix-realise") is not None, reason=str(harness.why_not("nix-realise"))
    ),
]
#: Bytes of the path of a checkout below which no socket fits into its state folder.
DEEP = 140


class Place:
    """A folder in which someone types `nix`, with a temporary folder and a home of its own, and ports that are free."""

    def __init__(self, folder: Path, beside: Path, **variables: str) -> None:
        self.folder = folder
        self.temporary = beside / "tmp"
        for made in (folder, self.temporary):
            made.mkdir(parents=True, exist_ok=True)
        # Short, as a person's is: the socket of a deep checkout lies below it.
        self._home = tempfile.TemporaryDirectory(prefix="home-", dir="/tmp")
        ours = {
            "TMPDIR": str(self.temporary),
            "HOME": self._home.name,
            "PORT_OFFSET": str(offset()),
        }
        # Where the builds of the harness are: HOME is another here.
        home = str(harness.home())
        keep = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("WINDTUNNEL_", "AIRFLOW", "PC_", "XDG_"))
        }
        self.env = keep | {"NIX_EVAL_HOME": home} | ours | variables

    def nix(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """`nix WORDS`; its exit code must be this one."""
        return self.command(str(harness.realise()), *words, code=code)

    def command(self, *command: str, code: int) -> subprocess.CompletedProcess[str]:
        """Any command in this folder; its exit code must be this one."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=1800,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == code, (
            f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
        return done

    def develop(self, *command: str, code: int = 0) -> str:
        return self.nix("develop", "-c", *command, code=code).stdout

    def run(self, *words: str, flake: str = ".", code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.nix("run", flake, "--", *words, code=code)

    def left(self) -> list[str]:
        """Names in the temporary folder."""
        return sorted(path.name for path in self.temporary.iterdir())


def offset() -> int:
    """A port offset whose API port nobody has."""
    with socket.socket() as probe:
        for candidate in range(2700, 20000, 100):
            try:
                probe.bind(("127.0.0.1", 8080 + candidate))
            except OSError:
                continue
            return candidate
    raise AssertionError("no free port")


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """The name of a checkout's folder, at a path of 140 bytes with a space."""
    start = tmp_path / "a folder"
    return start / ("d" * max(1, DEEP - len(str(start)) - 10)) / "checkout"


@pytest.fixture
def place(deep: Path, tmp_path: Path) -> Iterator[Place]:
    place = Place(clone(deep), tmp_path)
    yield place
    place.nix("develop", "-c", "process-compose", "down")


# -- nix flake check ---------------------------------------------------------------------------------------------------
def test_flake_check_is_green(tmp_path: Path) -> None:
    Place(clone(tmp_path / "checkout"), tmp_path).nix("flake", "check")


def append(name: str, text: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        with (folder / name).open("a") as file:
            file.write(text)

    return edit


def misspell(folder: Path) -> None:
    path = folder / "nix" / "refusals.nix"
    text = path.read_text()
    assert "single-host.services.windtunnel.singleHost = true;" in text
    path.write_text(text.replace("singleHost = true;", 'singleHost = "yes";', 1))


#: A check, a mistake that it must find, and what it says about this mistake.
SEEDED = {
    "unit-tests": (
        append(
            "tests/unit/runtime/test_version_skew.py",
            "\n\ndef test_seeded() -> None:\n    assert False\n",
        ),
        "tests/unit/runtime/test_version_skew.py::test_seeded",
    ),
    "ruff": (append("src/windtunnel/errors.py", "\nimport os\n"), "`os` imported but unused"),
    "process-compose": (
        append("process-compose.yaml", "\n  - : [\n"),
        "did not find expected key",
    ),
    "module-refusals": (
        misspell,
        "wrongly judged configurations of services.windtunnel: single-host",
    ),
}


@pytest.mark.parametrize("check", SEEDED)
def test_a_mistake_makes_flake_check_red(check: str, tmp_path: Path) -> None:
    place = Place(clone(tmp_path / "checkout"), tmp_path)
    seed, complaint = SEEDED[check]
    seed(place.folder)
    done = place.nix("build", "--no-link", f".#checks.{SYSTEM}.{check}", code=1)
    assert complaint in done.stderr


# -- nix develop -------------------------------------------------------------------------------------------------------
def rehearse(place: Place) -> None:
    """A first day: each command in a shell of its own."""
    place.develop("process-compose", "up", "-D")
    place.develop("windtunnel", "wait", "--timeout", "600")
    place.develop("windtunnel", "run", "hello")
    assert "worker-2" in place.develop("windtunnel", "scale", "3")
    place.develop("windtunnel", "wait", "--timeout", "600")
    place.develop("windtunnel", "status")
    place.develop("windtunnel", "drill", "worker-killed", "--yes")
    place.develop("process-compose", "down")
    place.develop("windtunnel", "status", code=3)
    assert place.left() == []


def test_every_command_in_a_shell_of_its_own(place: Place) -> None:
    rehearse(place)


class OrdinaryPlace(Place):
    """Root's Nix builds the shell, because the stand-in's store is root's; user 65534 works in it."""

    def enter(self) -> None:
        self.script = self.temporary.parent / "dev-env.sh"
        self.script.write_text(self.nix("print-dev-env").stdout)
        for path in (self.folder, self.temporary, Path(self.env["HOME"])):
            subprocess.run(["chown", "-R", "65534:65534", str(path)], check=True)

    def develop(self, *command: str, code: int = 0) -> str:
        become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        shell = ["bash", "-c", '. "$0" && exec "$@"', str(self.script)]
        return self.command(*become, *shell, *command, code=code).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_every_command_as_an_ordinary_user() -> None:
    # pytest's own folders are closed to every other user.
    with tempfile.TemporaryDirectory(prefix="windtunnel-ordinary-") as name:
        beside = Path(name)
        beside.chmod(0o755)
        start = beside / "a folder"
        place = OrdinaryPlace(
            clone(start / ("d" * (DEEP - len(str(start)) - 10)) / "checkout"), beside
        )
        place.enter()
        try:
            rehearse(place)
        finally:
            place.develop("process-compose", "down")


def test_every_command_in_an_archive_without_git(place: Place) -> None:
    shutil.rmtree(place.folder / ".git")
    rehearse(place)
    assert not (place.folder / ".state").exists(), "Nix would copy it to the store"


# -- nix run -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["empty", "dags", "foreign"])
def test_what_nix_run_starts_can_be_operated_and_stopped_by_it(kind: str, tmp_path: Path) -> None:
    flake = f"path:{clone(tmp_path / 'flake')}"
    shutil.rmtree(tmp_path / "flake" / ".git")
    place = Place(tmp_path / "here", tmp_path)
    if kind == "foreign":
        (place.folder / "process-compose.yaml").write_text(
            "processes:\n  theirs:\n    command: echo\n"
        )
    if kind == "dags":
        shutil.copytree(ROOT / "dags", place.folder / "dags")
        (place.folder / "dags" / "hello.py").rename(place.folder / "dags" / "mine.py")
    try:
        place.run("-D", flake=flake)
        place.run("wait", "--timeout", "600", flake=flake)
        place.run("run", "hello", flake=flake)
        assert "worker-0" in place.run("status", flake=flake).stdout
        # Outside: once a flake.nix lies beside it, Nix copies a folder that is not in git.
        assert not (place.folder / ".state").exists()
        states = Path(place.env["HOME"], ".local", "state", "windtunnel")
        assert [path.parent.name[:5] for path in states.glob("*/stack.json")] == ["here-"]
    finally:
        place.run("down", flake=flake)
    place.run("status", flake=flake, code=3)
    assert place.left() == []


def test_the_commands_that_nix_shell_puts_on_path(tmp_path: Path) -> None:
    flake = f"path:{clone(tmp_path / 'flake')}#default"
    shutil.rmtree(tmp_path / "flake" / ".git")
    place = Place(tmp_path / "here", tmp_path)
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    locked = {package["name"]: package.get("version") for package in packages}
    done = place.nix("shell", flake, "-c", "airflow", "version")
    assert locked["apache-airflow"] in done.stdout
    try:
        place.nix("shell", flake, "-c", "process-compose", "up", "-D")
        place.nix("shell", flake, "-c", "windtunnel", "wait", "--timeout", "600")
        place.nix("shell", flake, "-c", "windtunnel", "run", "hello")
        assert "worker-0" in place.nix("shell", flake, "-c", "windtunnel", "status").stdout
    finally:
        place.nix("shell", flake, "-c", "process-compose", "down")
    place.nix("shell", flake, "-c", "windtunnel", "status", code=3)
    assert place.left() == []


# -- the template ------------------------------------------------------------------------------------------------------
def with_a_shared_library(place: Place) -> None:
    """Adds a package whose wheel loads libstdc++ and does not bring it; the DAG imports it."""
    project = place.folder / "pyproject.toml"
    project.write_text(project.read_text().replace('["humanize"]', '["humanize", "rapidfuzz"]'))
    dag = place.folder / "dags" / "own_package.py"
    imports = "import humanize\nimport rapidfuzz.fuzz_cpp\n"
    dag.write_text(dag.read_text().replace("import humanize\n", imports))
    place.develop("uv", "lock")
    assert 'name = "rapidfuzz"' in (place.folder / "uv.lock").read_text()
    loaded = place.develop(
        "python", "-c", "import rapidfuzz.fuzz_cpp; print(open('/proc/self/maps').read())"
    )
    assert "libstdc++" in loaded


@pytest.mark.parametrize("packages", ["its own", "one with a shared library"])
def test_the_template_from_its_beginning_to_a_run_of_its_dag(packages: str, tmp_path: Path) -> None:
    ours = clone(tmp_path / "flake")
    place = Place(tmp_path / "my-dags", tmp_path, NIX_EVAL_INPUTS=f"windtunnel={ours}")
    place.nix("flake", "init", "--template", f"path:{ours}")
    track(place.folder)
    if packages == "one with a shared library":
        with_a_shared_library(place)
    place.nix("build", "--no-link", ".#default")
    place.nix("flake", "check")
    try:
        place.run("-D")
        place.run("wait", "--timeout", "600")
        place.run("run", "own_package")
        shell = place.nix("develop", "-c", "windtunnel", "status")
        assert "flake:nixpkgs" not in shell.stderr, "another nixpkgs would be fetched"
    finally:
        place.run("down")
    assert place.left() == []


# -- ./dev ------------------------------------------------------------------------------------------------------------
def test_dev_does_not_call_nix_again(tmp_path: Path) -> None:
    place = Place(clone(tmp_path / "my checkout"), tmp_path)
    (tmp_path / "bin").mkdir()
    calls = tmp_path / "calls"
    (tmp_path / "bin" / "nix").write_text(
        f'#!/bin/sh\necho "$@" >>"{calls}"\nexec "{harness.realise()}" "$@"\n'
    )
    (tmp_path / "bin" / "nix").chmod(0o755)
    env = place.env | {"PATH": f"{tmp_path / 'bin'}:{place.env['PATH']}"}
    command = ["./dev", "python", "-c", "import sys; print(sys.prefix)"]
    # The second time, in a network namespace that has nothing.
    for prefix in ([], ["unshare", "--map-root-user", "--net"]):
        done = subprocess.run(
            prefix + command, cwd=place.folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "windtunnel-dev-env" in done.stdout
    assert len(calls.read_text().splitlines()) == 1
    assert place.left() == []
