"""The releases of Airflow that a project's environment may have, and the day of each.

Airflow's own requirements have hardly any upper bound. So where its published constraints cannot be
fetched, uv takes for an older release the packages of the day after that release.
Source: the upload times of apache-airflow-core on PyPI. Yanked releases are left out.
"""

from __future__ import annotations

from datetime import date, timedelta

from packaging.version import Version

RELEASED = {
    "3.1.0": date(2025, 9, 25),
    "3.1.1": date(2025, 10, 27),
    "3.1.2": date(2025, 11, 5),
    "3.1.3": date(2025, 11, 14),
    "3.1.5": date(2025, 12, 12),
    "3.1.6": date(2026, 1, 13),
    "3.1.7": date(2026, 2, 4),
    "3.1.8": date(2026, 3, 11),
    "3.2.0": date(2026, 4, 7),
    "3.2.1": date(2026, 4, 22),
    "3.2.2": date(2026, 5, 29),
    "3.3.0": date(2026, 7, 6),
    "3.3.1": date(2026, 8, 12),
    "3.3.2": date(2026, 9, 17),
}


def newest(series: str) -> str | None:
    """The newest release of a series such as 3.1; None for a series that is not supported."""
    found = [release for release in RELEASED if release.startswith(f"{series}.")]
    return max(found, key=Version, default=None)


def known() -> str:
    """The series that are supported, for people, the oldest first."""
    *others, last = dict.fromkeys(release.rpartition(".")[0] for release in RELEASED)
    return f"{', '.join(others)} and {last}"


def packages_until(release: str) -> str | None:
    """The end of the day whose packages fit, for uv's `--exclude-newer` (RFC 3339)."""
    day = RELEASED.get(release)
    return f"{day + timedelta(days=2)}T00:00:00Z" if day else None
