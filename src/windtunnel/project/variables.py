"""A project's `.env`. The values are secrets: only the record for Airflow's processes has them."""

from __future__ import annotations

import io
import logging
import re

from dotenv import dotenv_values

from windtunnel.project import owned
from windtunnel.project.folder import Folder, listed

NAME = ".env"
#: An `=` in a name would stop each process that takes it. Programs have names with dots or dashes.
NAMES = re.compile(r"[\w.-]+")
#: Bytes.
LIMIT = 128 * 1024
#: Variables of the official compose file and its images, with the step that replaces each.
OF_THE_CONTAINERS = {
    "AIRFLOW_IMAGE_NAME": "pin apache-airflow==VERSION in requirements.txt",
    "_PIP_ADDITIONAL_REQUIREMENTS": "put the packages into requirements.txt",
}
#: These have no effect without a container and need no step.
WITHOUT_EFFECT = frozenset({"AIRFLOW_UID", "AIRFLOW_GID", "AIRFLOW_PROJ_DIR"})


def names(folder: Folder) -> list[str]:
    """The variables that Airflow's processes can have, in the file's order."""
    text = folder.read(NAME, LIMIT)
    if text is None:
        return []
    # Its warnings quote nothing, but they would be lines of their own on standard error.
    logging.getLogger("dotenv").setLevel(logging.ERROR)
    found = list(dotenv_values(stream=io.StringIO(text), interpolate=False))
    odd = [name for name in found if not NAMES.fullmatch(name)]
    if odd:
        fault = f"{listed(odd)} cannot be names of variables"
        folder.remark(NAME, fault, "use letters, digits and _")
    found = [name for name in found if name not in odd]
    refused = [name for name in found if owned.variable(name)]
    for name in refused:
        folder.remark(NAME, f"{listed([name])} is the stack's own and is not taken", "take it out")
    for name in found:
        if name in OF_THE_CONTAINERS:
            folder.remark(NAME, f"{name} is not read here", OF_THE_CONTAINERS[name])
    web = [name for name in found if name.startswith("_AIRFLOW_WWW_USER_")]
    if web:
        fault = f"{listed(web)} make a user in a container only"
        folder.remark(NAME, fault, "`windtunnel status` names the file with the password")
    left_out = {*refused, *OF_THE_CONTAINERS, *WITHOUT_EFFECT, *web}
    return [name for name in found if name not in left_out]


def values(folder: Folder, names: list[str]) -> dict[str, str]:
    """The values of these variables, as docker compose reads them: with `${NAME}` replaced."""
    text = folder.read(NAME, LIMIT) or ""
    found = dotenv_values(stream=io.StringIO(text))
    return {name: found[name] or "" for name in names if name in found}
