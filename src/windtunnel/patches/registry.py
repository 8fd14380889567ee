"""The one list of patches: the targets and the components of each, its switch, and its outcome.

A patch never replaces anything itself. Its function looks at every target, raises `Unfit` where one
looks different, and returns each target's replacement. Only then does this file replace the first.
So a patch is in place whole or not at all. An exception of any kind ends as "skipped": Airflow then
runs as upstream made it, slower and never wrong.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

from windtunnel.patches import missing
from windtunnel.patches.base import Unfit, log
from windtunnel.variables.patch_switch import wanted

#: Target -> its replacement. A target is `module:Class.attribute`.
#: Empty where the patch is in place already.
Replacements = Mapping[str, Any]
_MISSING = object()


@dataclass(frozen=True)
class Outcome:
    """The outcome of a patch in this process; `reason` says why it was skipped."""

    state: Literal["applied", "skipped", "off"]
    reason: str = ""


@dataclass(frozen=True)
class Patch:
    """One patch. A call applies it, whatever the switch is, and returns whether it is in place.

    Args:
        name: as in WINDTUNNEL_PATCHES and docs/reference/upstream.md.
        kind: `fault` for an error of upstream's; `speed` where upstream only takes longer.
        tested: packages and versions.
        components: where it is applied.
        late: the components that apply it when the executor's settings are loaded. The others
            apply it before they load Airflow.
        replaces: every target.
        make: looks at the targets and returns their replacements.
    """

    name: str
    kind: Literal["fault", "speed"]
    tested: str
    components: tuple[str, ...]
    late: tuple[str, ...]
    replaces: tuple[str, ...]
    make: Callable[[], Replacements]

    def __call__(self) -> bool:
        return self.apply().state == "applied"

    def apply(self) -> Outcome:
        """Raises nothing. One warning where it is skipped."""
        try:
            made = self.make()
            unlisted = set(made) - set(self.replaces)
            if unlisted:
                raise Unfit(f"it does not say that it replaces {', '.join(sorted(unlisted))}")
            _replace(made)
        except Unfit as error:
            reason = str(error)
        except Exception as error:
            reason = missing.sentence(error)
        else:
            return Outcome("applied")
        text = "windtunnel: patch %r is not applied: %s (docs/reference/upstream.md)"
        log.warning(text, self.name, reason)
        return Outcome("skipped", reason)


PATCHES: dict[str, Patch] = {}
#: The outcomes of the patches of this process.
outcomes: dict[str, Outcome] = {}


def patch(
    kind: Literal["fault", "speed"],
    *replaces: str,
    tested: str,
    components: tuple[str, ...],
    late: tuple[str, ...] = (),
) -> Callable[[Callable[[], Replacements]], Patch]:
    """Puts a patch's function on the list, under its own name. Arguments as in `Patch`."""

    def register(make: Callable[[], Replacements]) -> Patch:
        made = Patch(make.__name__, kind, tested, components, late, replaces, make)
        PATCHES[made.name] = made
        made_doc = make.__doc__
        assert made_doc, f"{made.name} has no docstring"
        return made

    return register


def apply(component: str, *, late: bool = False) -> None:
    """Applies a component's patches: the early ones, before Airflow is loaded, or the late ones.

    Raises nothing.
    """
    for name, each in PATCHES.items():
        if component in each.components and (component in each.late) is late:
            outcomes[name] = each.apply() if wanted(name) else Outcome("off")


def place(target: str) -> tuple[Any, str]:
    """Holder and name of a target. Raises ImportError or AttributeError where it is not there."""
    module, _, path = target.partition(":")
    *parents, name = path.split(".")
    holder: Any = importlib.import_module(module)
    for parent in parents:
        holder = getattr(holder, parent)
    getattr(holder, name)
    return holder, name


def _own(holder: Any, name: str) -> Any:
    """The holder's own attribute of that name; an inherited method is not its own."""
    if isinstance(holder, FunctionType):
        return getattr(holder, name)
    return vars(holder).get(name, _MISSING)


def _replace(made: Replacements) -> None:
    """Replaces all targets, or none.

    It looks every target up before it changes the first. A failure undoes the replacements so far.
    """
    places = [(*place(target), new) for target, new in made.items()]
    done: list[tuple[Any, str, Any]] = []
    try:
        for holder, name, new in places:
            old = _own(holder, name)
            setattr(holder, name, new)
            done.append((holder, name, old))
    except BaseException:
        for holder, name, old in reversed(done):
            if old is _MISSING:
                delattr(holder, name)
            else:
                setattr(holder, name, old)
        raise


def record(process: str) -> None:
    """Writes the outcomes of this process's patches to `run/patches/` of its stack.

    Writes nothing without a stack, or on a full disk.
    """
    from windtunnel.ledger import ledger

    state = os.environ.get("WINDTUNNEL_STATE")
    if not state:
        return
    folder = Path(state) / "run" / "patches"
    patches = {name: vars(outcome) for name, outcome in outcomes.items()}
    data = {"version": 1, "pid": os.getpid(), "patches": patches}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ledger.write(folder / f"{process}.json", data)
    except OSError as error:
        log.warning("windtunnel: cannot write which patches are applied: %s", error)


def recorded(run: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(process, its record) of each process of a stack that wrote one.

    Args:
        run: the folder of that name in the state folder.
    """
    from windtunnel.ledger import ledger

    for path in sorted((run / "patches").glob("*.json")):
        if data := ledger.read(path):
            yield path.stem, data
