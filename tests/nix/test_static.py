"""What needs no evaluation: syntax, the lock, formatting, dead code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.nix.harness import ROOT, nix_instantiate

NIX_FILES = [
    *sorted(
        p for folder in ("nix", "nixos-tests", "templates") for p in (ROOT / folder).rglob("*.nix")
    ),
    ROOT / "flake.nix",
]
CONFIG = "experimental-features = nix-command flakes\nbuild-users-group =\nwarn-dirty = false"


def nix_environment(folder: Path) -> dict[str, str]:
    """A private store: neither root nor a /nix folder is needed."""
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    return {**os.environ, **home, "NIX_REMOTE": f"local?root={folder}", "NIX_CONFIG": CONFIG}


def tool(name: str, where: str) -> str:
    path = shutil.which(name, path=f"{ROOT / '.tools' / 'nix-lint' / 'bin'}:{os.environ['PATH']}")
    if path is None:
        pytest.skip(f"no {name} ({where}): tests/nix/tools.sh installs it")
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "nixos-tests").glob("*.nix")), ids=lambda p: p.name)
def test_no_nixos_test_ends_a_pipe_early(path: Path) -> None:
    """The driver sets pipefail: a found line then looks like one that is not there, and `fail` passes."""
    assert re.findall(r"[|]\s*(?:grep -\w*q|head\b).*", path.read_text()) == []


def parser() -> str:
    path = nix_instantiate()
    if path is None:
        pytest.skip("no nix-instantiate on PATH (package nix-bin)")
    return path


@pytest.mark.parametrize("path", NIX_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_nix_file_parses(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [parser(), "--parse", str(path)],
        env=nix_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_parser_refuses_an_undefined_variable(tmp_path: Path) -> None:
    broken = tmp_path / "broken.nix"
    broken.write_text("{ a }: b")
    done = subprocess.run(
        [parser(), "--parse", str(broken)],
        env=nix_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "undefined variable 'b'" in done.stderr


def metadata(folder: Path, store: Path) -> subprocess.CompletedProcess[str]:
    nix = Path(parser()).with_name("nix")
    command = [
        str(nix),
        "flake",
        "metadata",
        f"path:{folder}",
        "--offline",
        "--no-update-lock-file",
        "--json",
    ]
    return subprocess.run(
        command,
        env=nix_environment(store),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def copy_of_flake(folder: Path) -> Path:
    """The two files that the lock's validity hangs on."""
    folder.mkdir()
    for name in ("flake.nix", "flake.lock"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_the_lock_is_complete_and_valid_offline(tmp_path: Path) -> None:
    done = metadata(copy_of_flake(tmp_path / "flake"), tmp_path / "store")
    assert done.returncode == 0, done.stderr
    locks = json.loads(done.stdout)["locks"]
    assert locks == json.loads((ROOT / "flake.lock").read_text())


def test_a_lock_that_lacks_an_input_is_refused(tmp_path: Path) -> None:
    folder = copy_of_flake(tmp_path / "flake")
    lock = json.loads((folder / "flake.lock").read_text())
    del lock["nodes"]["root"]["inputs"]["uv2nix"]
    (folder / "flake.lock").write_text(json.dumps(lock))
    done = metadata(folder, tmp_path / "store")
    assert done.returncode != 0
    assert "uv2nix" in done.stderr, done.stderr


def test_nixpkgs_is_a_release_channel_and_every_input_follows() -> None:
    nodes = json.loads((ROOT / "flake.lock").read_text())["nodes"]
    assert nodes["nixpkgs"]["original"]["ref"].startswith("nixos-2")
    assert set(nodes) == {"root", *nodes["root"]["inputs"]}, (
        "an input of an input is fetched separately: let it follow"
    )
    for node in nodes.values():
        if locked := node.get("locked"):
            assert locked["narHash"].startswith("sha256-")
            assert len(locked["rev"]) == 40


def test_the_flakes_python_is_the_newest_that_the_project_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    below = re.search(r"<3\.(\d+)", project["requires-python"])
    python = re.findall(r"python = pkgs\.python3(\d+);", (ROOT / "nix" / "python.nix").read_text())
    assert below and python == [str(int(below[1]) - 1)]


@pytest.mark.parametrize(
    ("name", "crate", "option"),
    [("nixfmt", "nixfmt_rs", "--check"), ("deadnix", "deadnix", "--fail")],
)
def test_a_linter_finds_nothing(name: str, crate: str, option: str) -> None:
    """Formatting and dead code."""
    done = subprocess.run(
        [tool(name, f"crate {crate}"), option, *map(str, NIX_FILES)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_repository_of_dags_is_found_upwards_as_nix_finds_its_flake(tmp_path: Path) -> None:
    text = (ROOT / "nix" / "hooks.nix").read_text()
    hook = text.partition("  repository = ''\n")[2].partition("\n  '';")[0].replace("''$", "$")
    assert hook
    deep = tmp_path / "mine" / "dags" / "deep"
    deep.mkdir(parents=True)

    def found() -> str:
        script = f'set -eu\n{hook}\nprintf %s "$home"'
        return subprocess.check_output(["bash", "-c", script], cwd=deep, text=True)

    assert found() == str(deep), "in no repository"
    (tmp_path / "mine" / "flake.nix").touch()
    assert found() == str(tmp_path / "mine")
