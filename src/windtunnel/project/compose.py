"""Compose files: the services that the stack replaces, and those that it cannot bring.

The stack brings Airflow, its database, its broker and Flower. Each other service is a remark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from windtunnel.project import dockerfile, images, owned
from windtunnel.project.folder import Folder, clean, listed
from windtunnel.project.parsing import mapping, read_yaml, scalar, texts

NAMES = ("compose", "docker-compose", "compose.override", "docker-compose.override")
FILES = tuple(f"{name}.{ending}" for name in NAMES for ending in ("yaml", "yml"))
#: Services of Astronomer's command line, which an override file names without an image.
ASTRONOMER = frozenset(
    {"scheduler", "webserver", "api-server", "triggerer", "dag-processor", "worker"}
)
BROKERS = ("redis", "valkey", "rabbitmq")
DATABASES = re.compile(
    r"postgres|mysql|mariadb|mssql|sql-?server|oracle|mongo|clickhouse|cassandra|duckdb"
    r"|elasticsearch|opensearch|redis|valkey"
)
#: Airflow's folder in the official image and in Astronomer's.
HOMES = ("/opt/airflow", "/usr/local/airflow")
#: Folders inside Airflow's images whose content a stack has from the project itself.
KNOWN_MOUNTS = frozenset({"dags", "logs", "plugins", "config", "include", ".env", "airflow.cfg"})


@dataclass(frozen=True)
class Compose:
    """One compose file: Airflow's image, and the services of each kind."""

    file: str
    image: str | None
    #: The file that Airflow's image is built from, when the compose file builds it.
    dockerfile: str | None
    replaced: list[str]
    missing: list[str]


def find(folder: Folder) -> list[Compose]:
    """Every compose file with a service."""
    found = [_read(folder, name) for name in FILES if folder.has_file(name)]
    return [compose for compose in found if compose.replaced or compose.missing]


def _read(folder: Folder, name: str) -> Compose:
    services = mapping(read_yaml(folder, name).get("services"))
    tables = {service: mapping(table) for service, table in services.items()}
    airflow = {service: table for service, table in tables.items() if _is_airflow(service, table)}
    urls = " ".join(
        value
        for table in airflow.values()
        for variable, value in _environment(table).items()
        if owned.variable(variable)
    )
    replaced = [*airflow]
    missing = []
    for service, table in tables.items():
        if service in airflow:
            continue
        if _serves_airflow(service, table, urls):
            replaced.append(service)
        else:
            missing.append(clean(service))
            _remark_missing(folder, name, service, table)
    _remark_variables(folder, name, airflow)
    _remark_mounts(folder, name, airflow)
    built = next((table for table in airflow.values() if table.get("build")), None)
    image = next((_image(table) for table in airflow.values() if _image(table)), None)
    return Compose(
        name,
        # The name of an image that is built here says nothing.
        None if built is not None else image,
        _dockerfile(built) if built is not None else None,
        [clean(service) for service in replaced],
        missing,
    )


def _dockerfile(table: dict[str, Any]) -> str | None:
    """The Dockerfile of a service's `build`, in the project; None when it is elsewhere."""
    build = table["build"]
    settings = {"context": build} if isinstance(build, str) else mapping(build)
    context = scalar(settings.get("context")) or "."
    path = PurePosixPath(context) / (scalar(settings.get("dockerfile")) or dockerfile.NAME)
    inside = not path.is_absolute() and ".." not in path.parts
    return str(path) if inside else None


def _image(table: dict[str, Any]) -> str:
    """The image's reference, with the default of a variable in it."""
    image = table.get("image")
    return dockerfile.expand(image, {}) if isinstance(image, str) else ""


def _environment(table: dict[str, Any]) -> dict[str, str]:
    """A service's variables, from either of compose's two forms."""
    value = table.get("environment")
    if isinstance(value, dict):
        return {scalar(key): scalar(inner) for key, inner in value.items()}
    pairs = (line.partition("=") for line in texts(value))
    return {key: inner for key, _, inner in pairs}


def _is_airflow(service: str, table: dict[str, Any]) -> bool:
    image = _image(table)
    if image:
        if images.judge(image).is_airflow:
            return True
        if DATABASES.search(images.split(image)[0]):
            return False
    if any(name.startswith("AIRFLOW__") for name in _environment(table)):
        return True
    if any(target.startswith(HOMES) for target in _targets(table)):
        return True
    if service in ASTRONOMER:
        return not image or _runs_airflow(table)
    return service.startswith("airflow")


def _runs_airflow(table: dict[str, Any]) -> bool:
    """Whether a service's command is one for Airflow's image. An `api-server` may be the user's."""
    command = table.get("command")
    words = command.split() if isinstance(command, str) else texts(command)
    return not words or words[0] in (*ASTRONOMER, "airflow", "bash", "celery", "sh")


def _serves_airflow(service: str, table: dict[str, Any], urls: str) -> bool:
    """Whether this is Airflow's database, its broker or Flower.

    Airflow's own addresses name it; a broker without an address is recognised by its image.
    """
    if f"@{service}/" in urls or f"@{service}:" in urls or f"//{service}:" in urls:
        return True
    variables = _environment(table)
    if "airflow" in (variables.get("POSTGRES_DB"), variables.get("MYSQL_DATABASE")):
        return True
    image = images.split(_image(table))[0].rpartition("/")[2]
    return service == "flower" or (image.startswith(BROKERS) and not urls)


def _remark_missing(folder: Folder, name: str, service: str, table: dict[str, Any]) -> None:
    image = _image(table)
    is_database = DATABASES.search(images.split(image)[0].lower() or service.lower())
    kind = "a database" if is_database else "a service"
    origin = f" of the image {image}" if image else ""
    fault = f"{clean(service)} is {kind}{clean(origin)}, which needs a container"
    step = "start it yourself, and give its address on this machine to the connection"
    folder.remark(name, fault, step)


def _remark_variables(folder: Folder, name: str, airflow: dict[str, dict[str, Any]]) -> None:
    """One line for the variables that a person set in the compose file."""
    found = {variable for table in airflow.values() for variable in _environment(table)}
    ours = {"AIRFLOW_UID", "AIRFLOW_CONFIG", "DUMB_INIT_SETSID", "CONNECTION_CHECK_MAX_COUNT"}
    wanted = sorted(
        variable
        for variable in found
        if not owned.variable(variable) and variable not in ours and not variable.startswith("_")
    )
    if wanted:
        fault = f"its variables for Airflow are not taken: {listed(wanted)}"
        folder.remark(name, fault, "copy those that you need to .env")


def _remark_mounts(folder: Folder, name: str, airflow: dict[str, dict[str, Any]]) -> None:
    """One line for the mounts whose path does not exist without a container."""
    targets: set[str] = set()
    for table in airflow.values():
        targets |= {
            target for target in _targets(table) if PurePosixPath(target).name not in KNOWN_MOUNTS
        }
    if targets:
        fault = f"these paths exist in its containers only: {listed(sorted(targets))}"
        folder.remark(name, fault, "let the DAGs use paths relative to this folder")


def _targets(table: dict[str, Any]) -> list[str]:
    """The paths inside the container at which something is mounted."""
    volumes = table.get("volumes")
    found = [_target(volume) for volume in volumes] if isinstance(volumes, list) else []
    return [target for target in found if target]


def _target(volume: Any) -> str:
    """The path inside the container, from either of compose's two forms."""
    if isinstance(volume, dict):
        return scalar(volume.get("target"))
    if not isinstance(volume, str):
        return ""
    parts = re.sub(r"\$\{[^}]*\}", "", volume).split(":")
    return next((part for part in parts[1:] if part.startswith("/")), "")
