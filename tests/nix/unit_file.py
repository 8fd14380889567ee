"""A systemd unit's text, read."""

from __future__ import annotations

from collections import defaultdict


def read(text: str) -> dict[str, list[str]]:
    """Every directive with its values in order; an empty assignment resets a list (systemd.syntax(7))."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        key, sign, value = line.partition("=")
        if not sign or line.startswith(("#", "[")):
            continue
        if value:
            found[key].append(value)
        else:
            found[key] = []
    return dict(found)


def command(text: str, environment: str = "/nix/store/windtunnel-env/bin/") -> list[str]:
    """Words of ExecStart, without the folder of the Python environment."""
    [line] = read(text)["ExecStart"]
    return line.removeprefix(environment).split()
