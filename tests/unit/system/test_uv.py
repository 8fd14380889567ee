"""What uv says reaches the person, but no password of a package index."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.project import fake_uv
from windtunnel.errors import WindtunnelError
from windtunnel.system import uv

SAID = """Using Python 3.11.7 environment at: v
error: Invalid URL in `r.txt` at position 0: https://me:s3cr3t@host:abc/simple
  cause: Failed to fetch: `https://host/x.whl?token=s3cr3t`
  cause: celery==5.4.0 and you require celery>=5.6.3, see https://docs.astral.sh/uv
"""


def test_no_login_and_no_token_of_an_address_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_uv.play(tmp_path, monkeypatch, '#!/bin/sh\nprintf %s "$SAID" >&2\nexit 2\n')
    monkeypatch.setenv("SAID", SAID)
    with pytest.raises(WindtunnelError) as error:
        uv.run([uv.program("", ""), "venv", str(tmp_path / "x")], tmp_path, "it failed", "mend it")
    text = str(error.value)
    assert "s3cr3t" not in text and "me:" not in text and "Using Python" not in text
    assert "https://****@host:abc/simple" in text and "`https://host/x.whl?****`" in text
    assert "celery==5.4.0 and you require celery>=5.6.3, see https://docs.astral.sh/uv" in text


def test_a_machine_without_uv_is_one_line_with_the_purpose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WindtunnelError, match=r"^uv has to do it: install uv, see there$"):
        uv.program("uv has to do it", "see there")
