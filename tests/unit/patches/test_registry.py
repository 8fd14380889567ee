"""The list of patches: each is whole or not there, none can end a component, and WINDTUNNEL_PATCHES chooses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from windtunnel.errors import UsageError
from windtunnel.patches import catalogue, registry
from windtunnel.settings import load
from windtunnel.variables import patch_switch


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Stands for a module of Airflow's with two functions and a class that inherits a third."""
    module: Any = ModuleType("a_library")
    base = type("Base", (), {"inherited": lambda self: "upstream"})
    module.first, module.second, module.Kind = (
        (lambda: "upstream"),
        (lambda: "upstream"),
        type("Kind", (base,), {}),
    )
    monkeypatch.setitem(sys.modules, "a_library", module)
    patches, outcomes = dict(registry.PATCHES), dict(registry.outcomes)
    yield module
    registry.PATCHES.clear()
    registry.PATCHES.update(patches)
    registry.outcomes.clear()
    registry.outcomes.update(outcomes)


def test_a_patch_whose_last_target_is_gone_replaces_nothing(library: Any) -> None:
    @registry.patch(
        "speed", "a_library:first", "a_library:gone", tested="a library 1", components=("part",)
    )
    def half() -> Any:
        """Would replace two."""
        return {"a_library:first": lambda: "ours", "a_library:gone": lambda: "ours"}

    assert half.apply().state == "skipped" and "gone" in half.apply().reason
    assert library.first() == "upstream"


def test_what_was_replaced_is_put_back_when_a_later_one_is_refused(library: Any) -> None:
    class Closed:
        """Has a target, and refuses another."""

        target = property(lambda self: 1)

    library.closed = Closed()
    targets = ("a_library:first", "a_library:Kind.inherited", "a_library:closed.target")

    @registry.patch("speed", *targets, tested="a library 1", components=("part",))
    def half() -> Any:
        """Fails at the third."""
        return dict.fromkeys(targets, lambda *_: "ours")

    outcome = half.apply()
    assert (outcome.state, outcome.reason.split(":")[0]) == ("skipped", "AttributeError")
    assert (library.first(), library.Kind().inherited()) == ("upstream", "upstream")
    assert "inherited" not in vars(library.Kind), "an inherited method is not made its own"


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), TypeError("x"), RuntimeError("x"), AssertionError("x"), ImportError("x")],
)
def test_whatever_a_patch_raises_is_a_reason_to_skip_it(library: Any, error: Exception) -> None:
    @registry.patch("speed", "a_library:first", tested="a library 1", components=("part",))
    def broken() -> Any:
        """Meets an upstream that it does not know."""
        raise error

    registry.apply("part")
    assert registry.outcomes["broken"].state == "skipped"
    assert registry.outcomes["broken"].reason.startswith(type(error).__name__)


def test_a_patch_replaces_only_what_it_says(library: Any) -> None:
    @registry.patch("speed", "a_library:first", tested="a library 1", components=("part",))
    def silent() -> Any:
        """Says one, takes two."""
        return {"a_library:first": lambda: "ours", "a_library:second": lambda: "ours"}

    assert "a_library:second" in silent.apply().reason
    assert (library.first(), library.second()) == ("upstream", "upstream")


def test_only_a_components_own_patches_are_applied_each_at_its_time(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    @registry.patch(
        "speed",
        "a_library:first",
        tested="a library 1",
        components=("part", "other"),
        late=("other",),
    )
    def sooner() -> Any:
        """Early in one, late in the other."""
        return {"a_library:first": lambda: "ours"}

    assert sooner.kind == "speed"
    registry.outcomes.clear()
    registry.apply("third")
    registry.apply("part", late=True)
    registry.apply("other")
    assert library.first() == "upstream" and not registry.outcomes
    monkeypatch.setenv("WINDTUNNEL_PATCHES", "-sooner")
    registry.apply("part")
    assert (registry.outcomes["sooner"].state, library.first()) == ("off", "upstream")
    monkeypatch.delenv("WINDTUNNEL_PATCHES")
    registry.apply("other", late=True)
    assert (registry.outcomes["sooner"].state, library.first()) == ("applied", "ours")


def test_every_patch_says_what_it_is() -> None:
    components = {"api-server", "scheduler", "dag-processor", "triggerer", "worker", "flower", "db"}
    for name, patch in catalogue.PATCHES.items():
        assert (
            patch.kind in ("speed", "fault")
            and patch.replaces
            and patch.tested
            and patch.make.__doc__
        ), name
        assert set(patch.late) <= set(patch.components) <= components, name
    assert sorted(catalogue.PATCHES) == list(patch_switch.NAMES), (
        "the switch knows them without loading them"
    )
    order = list(catalogue.PATCHES)
    assert order[0] == "libcst_when_asked", "the others load Airflow"
    assert order.index("routes_are_built_when_used") < order.index("middlewares_step_aside"), (
        "which loads routers"
    )


def test_the_list_costs_no_airflow() -> None:
    loaded = "[m for m in sys.modules if m.split('.')[0] in ('airflow', 'celery')]"
    program = f"import sys; from windtunnel.patches import catalogue; print({loaded})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


#: Another release of each: a class that takes new arguments, a module that has moved, a source that cannot be read.
STRANGE = """
import sys, types
from windtunnel.patches import catalogue
for name in ("airflow", "cadwyn", "fastapi", "starlette", "celery", "flower", "pydantic"):
    class Finder:
        @staticmethod
        def find_spec(fullname, path=None, target=None, name=name):
            if fullname.split(".")[0] == name:
                raise RuntimeError(f"{fullname} is of another release")
    sys.meta_path.insert(0, Finder)
for component in ("api-server", "scheduler", "dag-processor", "triggerer", "worker", "flower"):
    for late in (False, True):
        catalogue.apply(component, late=late)
from windtunnel.patches import registry
print(sorted({o.state for o in registry.outcomes.values()}), set(registry.outcomes) == set(registry.PATCHES))
"""


def test_no_patch_can_end_a_component_of_another_release() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STRANGE], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "['skipped'] True"


def test_what_became_of_them_is_written_for_status(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINDTUNNEL_STATE", str(tmp_path))
    registry.outcomes.clear()
    registry.outcomes["one"] = registry.Outcome("skipped", "it looks different")
    registry.record("scheduler")
    ((name, found),) = registry.recorded(tmp_path / "run")
    assert (name, found["pid"], found["patches"]["one"]) == (
        "scheduler",
        os.getpid(),
        {"state": "skipped", "reason": "it looks different"},
    )
    (tmp_path / "run" / "patches" / "scheduler.json").write_text("{")
    assert list(registry.recorded(tmp_path / "run")) == []


@pytest.mark.parametrize(
    ("text", "wake", "slot"),
    [
        ("", True, True),
        ("all", True, True),
        ("none", False, False),
        ("wake_scheduler", True, False),
        ("-wake_scheduler", False, True),
        ("-wake_scheduler, -free_slot_at_once", False, False),
        ("wake_scheduler,free_slot_at_once", True, True),
    ],
)
def test_the_switch(text: str, wake: bool, slot: bool) -> None:
    assert (
        patch_switch.wanted("wake_scheduler", text),
        patch_switch.wanted("free_slot_at_once", text),
    ) == (wake, slot)
    assert load({"WINDTUNNEL_PATCHES": text}, client=False).patches == patch_switch.choice(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("wake_schedular", "'wake_scheduler'"),
        ("-free_slot", "'free_slot_at_once'"),
        ("nnone", "'none'"),
        ("xyzzy", "the patches are"),
        ("wake_scheduler,-free_slot_at_once", "mixes"),
        (",", "the patches are"),
    ],
)
def test_a_wrong_name_is_refused_with_the_near_one(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match="WINDTUNNEL_PATCHES") as refused:
        load({"WINDTUNNEL_PATCHES": text}, client=False)
    assert hint in str(refused.value) and "\n" not in str(refused.value) and refused.value.code == 2


def test_the_processes_are_told(tmp_path: Path) -> None:
    settings = load({"WINDTUNNEL_STATE": str(tmp_path), "WINDTUNNEL_PATCHES": "none"}, client=False)
    assert settings.environment()["WINDTUNNEL_PATCHES"] == "none"
    assert json.dumps(settings.environment())
