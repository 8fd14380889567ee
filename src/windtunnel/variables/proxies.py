"""Keeps a person's proxy away from the stack's own addresses.

Each task calls the API server on loopback. Through a proxy that call would not arrive, and the task
would wait for minutes without a word.
"""

from __future__ import annotations

from collections.abc import Mapping

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
#: Programs read one of both names.
EXCEPTIONS = ("no_proxy", "NO_PROXY")
LOOPBACK = ("127.0.0.1", "localhost")


def bypassed(*sources: Mapping[str, str]) -> dict[str, str]:
    """The variables that except loopback from a proxy; none where no source names a proxy.

    The exceptions of the first source come first, and those of all sources stay.
    """
    if not any(name.lower() in PROXIES for source in sources for name in source):
        return {}
    hosts: list[str] = []
    for source in sources:
        for name in EXCEPTIONS:
            hosts += (host.strip() for host in source.get(name, "").split(","))
    # Python takes a star for "no proxy at all" only where it stands alone.
    wanted = dict.fromkeys([*filter(None, hosts), *LOOPBACK])
    text = "*" if "*" in wanted else ",".join(wanted)
    return dict.fromkeys(EXCEPTIONS, text)
