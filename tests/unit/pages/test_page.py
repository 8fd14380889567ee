"""Where a page may be written is known before the work begins; a reader never sees half of one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from windtunnel.errors import UsageError
from windtunnel.pages import page


def refused(file: Path) -> str:
    with pytest.raises(UsageError) as error:
        page.require_writable("--report", file)
    assert "\n" not in str(error.value) and str(file) in str(error.value)
    return str(error.value)


def test_a_folder_a_missing_folder_and_a_device_are_refused_in_one_line(tmp_path: Path) -> None:
    assert "it is a folder" in refused(tmp_path)
    assert f"{tmp_path}/gone is no folder" in refused(tmp_path / "gone" / "report.html")
    assert "it is no regular file" in refused(Path("/dev/null"))
    (tmp_path / "file").touch()
    assert "is no folder" in refused(tmp_path / "file" / "report.html")
    assert "too long" in refused(tmp_path / ("x" * 300))
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    refused(tmp_path / "circle")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    folder = tmp_path if os.geteuid() else Path("/proc")
    if os.geteuid():
        folder.chmod(0o500)
    assert "cannot be written" in refused(folder / "report.html")


def test_asking_leaves_nothing_and_changes_no_former_page(tmp_path: Path) -> None:
    page.require_writable("--report", tmp_path / "new.html")
    assert list(tmp_path.iterdir()) == []
    former = tmp_path / "old.html"
    former.write_text("old")
    page.require_writable("--report", former)
    assert former.read_text() == "old"


def test_a_link_to_a_page_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text("old")
    (tmp_path / "link.html").symlink_to("there.html")
    page.write(tmp_path / "link.html", "new")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "there.html").read_text() == "new"
