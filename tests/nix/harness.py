"""Evaluates the flake with an offline harness, which is not part of this repository.

The harness is a folder with these programs. NIX_EVAL names it; the default is `../shared/nix-eval`
beside the checkout. NIX_EVAL_HOME names where it was set up.

- `nix-eval`, `lint-test`, `check-lock`: evaluation. `test_data.py`, `test_evaluation.py` and
  `python -m tests.nix.regenerate` need them.
- `nix-realise`: builds and runs the flake. `test_built.py` needs it.

Where one is missing, these tests are skipped with the reason from `why_not`. All other Nix tests
read the committed data and need no harness.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).parent / "data"
SYSTEM = "x86_64-linux"
#: NixOS tests whose units the committed data hold, with their machines.
TESTS = {
    "single-host": ["host"],
    "multi-worker": ["postgres", "scheduler", "valkey", "worker1", "worker2"],
}
_STORE = re.compile(r"/nix/store/[0-9a-z]{32}-")


def folder() -> Path:
    """Where the programs of the harness are expected."""
    return Path(os.environ.get("NIX_EVAL") or ROOT.parent / "shared" / "nix-eval")


def home() -> Path:
    """Where the harness was set up."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("NIX_EVAL_HOME") or Path(cache) / "nix-eval")


def why_not(program: str = "nix-eval") -> str | None:
    """The reason for `pytest.skip`, None where a program of the harness can be used.

    Args:
        program: `nix-eval` for evaluation, `nix-realise` for builds.
    """
    set_up = {"nix-eval": home() / "stamp", "nix-realise": home() / "realise" / "found.json"}
    if not (folder() / program).is_file():
        return f"no {program} of the Nix harness in the folder that NIX_EVAL names"
    if not set_up[program].is_file():
        return f"{program} of the Nix harness is not set up in the folder that NIX_EVAL_HOME names"
    return None


def run(*command: str, cwd: Path = ROOT, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """A command of the harness; its exit code is the caller's business."""
    env = {**os.environ, "MYPY": str(Path(__file__).with_name("plain-mypy"))}
    return subprocess.run(
        [str(folder() / command[0]), *command[1:]],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def evaluate(attribute: str, apply: str = "x: x", cwd: Path = ROOT) -> Any:
    """JSON of an attribute of the flake. Raises AssertionError with Nix's own words."""
    done = run("nix-eval", "eval", "--json", f".#{attribute}", "--apply", apply, cwd=cwd)
    assert done.returncode == 0, f"{attribute}: {done.stderr[-3000:]}"
    return json.loads(done.stdout)


def without_hashes(value: Any) -> Any:
    """Store paths differ with every package's version, and are not what is compared."""
    return json.loads(_STORE.sub("/nix/store/", json.dumps(value)))


def units(test: str, node: str) -> dict[str, Any]:
    """Text and variables of this project's units on one machine of a NixOS test."""
    apply = """config: builtins.listToAttrs (map (name: {
        inherit name;
        value = {
          text = config.systemd.units."${name}.service".text;
          environment = config.systemd.services.${name}.environment;
          script = config.systemd.services.${name}.script;
        };
      }) (builtins.filter (name: builtins.match "(windtunnel-.*|redis-windtunnel|postgresql)" name != null)
        (builtins.attrNames config.systemd.services)))"""
    found: dict[str, Any] = without_hashes(evaluate(f"checks.{SYSTEM}.{test}.nodes.{node}", apply))
    return found


def shell() -> dict[str, Any]:
    """Variables, packages and hook of the dev shell."""
    apply = """shell: {
        env = removeAttrs shell.drvAttrs ([ "name" "builder" "args" "system" "stdenv" "shellHook" "phases" "buildPhase" ]
          ++ builtins.filter (n: let v = shell.drvAttrs.${n}; in builtins.isList v || v == null || builtins.isBool v)
            (builtins.attrNames shell.drvAttrs));
        packages = map (p: p.name) (builtins.filter builtins.isAttrs shell.drvAttrs.nativeBuildInputs);
        hook = shell.drvAttrs.shellHook;
      }"""
    found: dict[str, Any] = without_hashes(evaluate(f"devShells.{SYSTEM}.default", apply))
    return found


def collect() -> dict[str, Any]:
    """Everything that the committed data hold."""
    found: dict[str, Any] = {}
    for test, nodes in TESTS.items():
        found[test] = {node: units(test, node) for node in nodes}
    return found | {"shell": shell()}


def committed() -> dict[str, Any]:
    """The data as committed; `python -m tests.nix.regenerate` makes them anew."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DATA.glob("*.json"))}


def nix_instantiate() -> str | None:
    """A Nix that parses: Debian's, or the harness's."""
    own = home() / "nix" / "bin" / "nix-instantiate"
    return shutil.which("nix-instantiate") or (str(own) if own.exists() else None)


def realise() -> Path:
    """`nix-realise`, which builds and runs the flake on a stand-in for nixpkgs."""
    return folder() / "nix-realise"


def clone(folder: Path) -> Path:
    """The tracked files as they are now, in a git checkout, as flakes want."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():  # not deleted since the last commit
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    track(folder)
    return folder


def track(folder: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "."], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all", "--force"], cwd=folder, check=True)
