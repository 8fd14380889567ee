"""The hosts of nixos-tests/cluster.nix in the lab: the units of the NixOS module as evaluated, run by this machine's systemd.

The units are used unchanged. What they name below /nix/store is made to exist: the Python environment is this checkout's,
the other packages are this machine's. Valkey and PostgreSQL run by small units of their own, since NixOS's modules for
them are not what is tested here.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.nix.harness import ROOT, committed

ENVIRONMENT = "/nix/store/windtunnel-env"
PYTHON = "/opt/lab-python"
USER_ID = 990
HOSTS = ("valkey", "postgres", "scheduler", "worker1", "worker2")

SERVICES = Path(__file__).with_name("services")
#: Units in place of NixOS's own, by host.
OTHERS = {
    "valkey": ["redis-windtunnel.service"],
    "postgres": ["postgresql.service", "postgresql.target"],
}


def why_not() -> str | None:
    """The reason for `pytest.skip`, None where the units' programs are at hand."""
    for program in ("valkey-server", "postgres", "curl"):
        if not shutil.which(program):
            return f"the hosts lab needs {program}"
    if (
        Path(sys.prefix).is_relative_to("/root")
        or ROOT.is_relative_to("/root")
        or ROOT.is_relative_to("/home")
    ):
        return "the checkout lies in a home folder, which the units may not see (ProtectHome)"
    if ROOT.is_relative_to("/tmp"):
        return "the checkout lies below /tmp, where each unit has a folder of its own (PrivateTmp)"
    return None


def units_of(host: str) -> dict[str, dict[str, Any]]:
    """This project's units on that host, as evaluated."""
    units: dict[str, dict[str, Any]] = committed()["multi-worker"][host]
    return {
        f"{name}.service": unit for name, unit in units.items() if name.startswith("windtunnel-")
    }


def _folder(program: str) -> str:
    """Where a program of this machine really lies."""
    path = shutil.which(program)
    assert path is not None, program
    return str(Path(path).resolve().parent)


def _write(path: str, text: str, mode: str = "644") -> str:
    """Shell that writes a file below the host's root, `$1`."""
    return f'install -D -m {mode} /dev/stdin "$1{path}" <<"END_OF_FILE"\n{text.rstrip()}\nEND_OF_FILE\n'


def _store(units: dict[str, dict[str, Any]]) -> str:
    """What the units name below /nix/store: packages are folders of this machine's programs."""
    text = "".join(unit["text"] for unit in units.values())
    script = ""
    for name in sorted(
        set(re.findall(r"/nix/store/([^/\s:\"]+)/s?bin", text)) - {Path(ENVIRONMENT).name}
    ):
        if name.startswith("unit-script-"):
            continue
        if name.startswith("postgresql-"):
            # As in nixpkgs, which builds it with this default.
            psql = f'#!/bin/sh\nPGHOST=${{PGHOST:-/run/postgresql}} exec {_folder("postgres")}/psql "$@"'
            script += _write(f"/nix/store/{name}/bin/psql", psql, "755")
            continue
        script += f'mkdir -p "$1/nix/store/{name}"; ln -s /usr/bin "$1/nix/store/{name}/bin"; ln -s /usr/sbin "$1/nix/store/{name}/sbin"\n'
    for name, unit in units.items():
        if unit["script"]:
            start = f"{name.removesuffix('.service')}-start"
            script += _write(
                f"/nix/store/unit-script-{start}/bin/{start}",
                f"#!/bin/bash\nset -e\n{unit['script']}",
                "755",
            )
    return script


def _environment() -> str:
    """This checkout's Python environment under the path of the store, its interpreter out of any home folder."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base, venv = shlex.quote(sys.base_prefix), shlex.quote(sys.prefix)
    return f"""
mkdir -p "$1{PYTHON}" "$1{ENVIRONMENT}/bin" "$1{ENVIRONMENT}/lib" "$1/nix/store/source"
mount --bind {base} "$1{PYTHON}"; mount --bind {venv}/lib "$1{ENVIRONMENT}/lib"
ln -s {PYTHON}/bin/{python} "$1{ENVIRONMENT}/bin/python"
echo "home = {PYTHON}/bin" > "$1{ENVIRONMENT}/pyvenv.cfg"
for program in airflow celery; do
  sed '1s|.*|#!{ENVIRONMENT}/bin/python|' {venv}/bin/$program > "$1{ENVIRONMENT}/bin/$program"; chmod 755 "$1{ENVIRONMENT}/bin/$program"
done
echo {PYTHON}/lib > "$1/etc/ld.so.conf.d/lab.conf"; chroot "$1" ldconfig
cp {shlex.quote(str(ROOT))}/airflow-home/airflow.cfg "$1/nix/store/source/"
cp -r {shlex.quote(str(ROOT))}/dags "$1/nix/store/dags"
"""


def prepare(host: str, kept: Path) -> str:
    """Shell that turns a bare host of the lab into that host. `kept` outlives a power-off."""
    units = units_of(host)
    script = f"""
echo 'windtunnel:x:{USER_ID}:{USER_ID}::/var/lib/windtunnel:/usr/sbin/nologin' >> "$1/etc/passwd"
echo 'windtunnel:x:{USER_ID}:' >> "$1/etc/group"
for folder in windtunnel windtunnel-secrets; do
  mkdir -p "{kept}/$folder" "$1/var/lib/$folder"; mount --bind "{kept}/$folder" "$1/var/lib/$folder"
done
chmod 700 "$1/var/lib/windtunnel-secrets"
# Debian's PostgreSQL would start by itself, and brings the user.
grep -q '^postgres:' "$1/etc/passwd" || {{
  echo 'postgres:x:{USER_ID + 1}:{USER_ID + 1}::/var/lib/postgresql:/usr/sbin/nologin' >> "$1/etc/passwd"
  echo 'postgres:x:{USER_ID + 1}:' >> "$1/etc/group"
}}
mkdir -p "$1/etc/systemd/system-generators"; ln -sfn /dev/null "$1/etc/systemd/system-generators/postgresql-generator"
"""
    script += _environment() + _store(units)
    if source := os.environ.get(
        "WINDTUNNEL_LAB_SOURCE"
    ):  # to try a change of src/ on the hosts alone
        script += f'mount --bind {shlex.quote(source)} "$1{ROOT}/src"\n'
    files = {name: unit["text"] for name, unit in units.items()}
    for name in OTHERS.get(host, []):
        files[name] = (
            (SERVICES / name)
            .read_text()
            .replace("@valkey@", _folder("valkey-server"))
            .replace("@postgres@", _folder("postgres"))
        )
    wants = "/etc/systemd/system/multi-user.target.wants"
    for name, text in files.items():
        script += _write(f"/etc/systemd/system/{name}", text)
        if "WantedBy=multi-user.target" in text:
            script += f'mkdir -p "$1{wants}"; ln -s ../{name} "$1{wants}/{name}"\n'
    return script
