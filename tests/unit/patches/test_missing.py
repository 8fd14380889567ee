"""The reasons of patches that meet another Airflow, as people read them."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Callable
from importlib import metadata

import pytest

from windtunnel.patches import missing


def _from() -> object:
    from airflow.sdk import gone  # type: ignore[attr-defined, unused-ignore]

    return gone


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (_from, "Airflow {} has no airflow.sdk.gone"),
        (lambda: importlib.import_module("airflow.gone"), "Airflow {} has no airflow.gone"),
        (lambda: missing.gone, "windtunnel {} has no windtunnel.patches.missing.gone"),  # type: ignore[attr-defined]
        (lambda: subprocess.Popen.gone, "this environment has no subprocess.Popen.gone"),  # type: ignore[attr-defined]
        (lambda: importlib.import_module("no_such"), "this environment has no no_such"),
    ],
)
def test_a_missing_name_is_said_with_the_version_that_lacks_it(
    act: Callable[[], object], reason: str
) -> None:
    with pytest.raises((ImportError, AttributeError)) as raised:
        act()
    package = "windtunnel" if reason.startswith("windtunnel") else "apache-airflow-core"
    assert missing.sentence(raised.value).startswith(reason.format(metadata.version(package)))


def test_any_other_error_is_said_as_it_is() -> None:
    assert missing.sentence(KeyError("x")) == "KeyError: 'x'"
    assert missing.sentence(AttributeError("x")) == "AttributeError: x"
    assert missing.sentence(ImportError("x")) == "ImportError: x"


def test_a_name_that_is_there_and_refuses_is_not_missing() -> None:
    class Closed:
        target = property(lambda self: 1)

    with pytest.raises(AttributeError) as raised:
        setattr(Closed(), "target", 2)  # noqa: B010
    assert missing.sentence(raised.value).startswith("AttributeError: ")
