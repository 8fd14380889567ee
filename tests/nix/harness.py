"""Evaluating the flake: with the offline harness where it is at hand, else not at all.

The harness is a folder with `nix-eval`, `lint-test` and `check-lock`: named by NIX_EVAL, or the checkout's neighbour.
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
BEDS = {"single-host": ["host"], "multi-worker": ["postgres", "scheduler", "valkey", "worker1", "worker2"]}
_STORE = re.compile(r"/nix/store/[0-9a-z]{32}-")


def harness() -> Path | None:
    """The harness's folder where it is set up, else None."""
    folder = Path(os.environ.get("NIX_EVAL") or ROOT.parent / "shared" / "nix-eval")
    home = Path(os.environ.get("NIX_EVAL_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nix-eval")
    return folder if (folder / "nix-eval").is_file() and (home / "stamp").is_file() else None


def why_not() -> str | None:
    """The reason for `pytest.skip`, None where the flake can be evaluated."""
    return None if harness() else "no evaluation harness: set NIX_EVAL to its folder (and NIX_EVAL_HOME to where it was set up)"


def run(*command: str, cwd: Path = ROOT, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """A command of the harness; its exit code is the caller's business."""
    folder = harness()
    assert folder is not None
    env = {**os.environ, "MYPY": str(Path(__file__).with_name("plain-mypy"))}
    return subprocess.run(
        [str(folder / command[0]), *command[1:]], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )


def evaluate(attribute: str, apply: str = "x: x", cwd: Path = ROOT) -> Any:
    """JSON of an attribute of the flake. Raises AssertionError with Nix's own words."""
    done = run("nix-eval", "eval", "--json", f".#{attribute}", "--apply", apply, cwd=cwd)
    assert done.returncode == 0, f"{attribute}: {done.stderr[-3000:]}"
    return json.loads(done.stdout)


def without_hashes(value: Any) -> Any:
    """Store paths differ with every package's version, and are not what is compared."""
    return json.loads(_STORE.sub("/nix/store/", json.dumps(value)))


def units(bed: str, node: str) -> dict[str, Any]:
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
    found: dict[str, Any] = without_hashes(evaluate(f"checks.{SYSTEM}.{bed}.nodes.{node}", apply))
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
    beds = {bed: {node: units(bed, node) for node in nodes} for bed, nodes in BEDS.items()}
    return {**beds, "shell": shell()}


def committed() -> dict[str, Any]:
    """The data as committed; `python -m tests.nix.regenerate` makes them anew."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DATA.glob("*.json"))}


def nix_instantiate() -> str | None:
    """A Nix that parses: Debian's, or the harness's."""
    home = Path(os.environ.get("NIX_EVAL_HOME") or Path.home() / ".cache" / "nix-eval")
    own = home / "nix" / "bin" / "nix-instantiate"
    return shutil.which("nix-instantiate") or (str(own) if own.exists() else None)


def realise() -> Path | None:
    """`nix-realise`, which builds and runs the flake on a stand-in for nixpkgs, where it is set up; else None."""
    folder = Path(os.environ.get("NIX_EVAL") or ROOT.parent / "shared" / "nix-eval")
    home = Path(os.environ.get("NIX_EVAL_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nix-eval")
    return folder / "nix-realise" if (folder / "nix-realise").is_file() and (home / "realise" / "found.json").is_file() else None
