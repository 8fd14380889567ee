"""The tables of `windtunnel project`, drawn with Rich."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from windtunnel.project import versions
from windtunnel.project.claims import Claim
from windtunnel.project.folder import clean, listed
from windtunnel.project.survey import Project

NOTHING = "none"


def render(project: Project) -> RenderableType:
    """The whole project as one printable thing."""
    parts: list[RenderableType] = [_found(project), ""]
    if project.remarks:
        remarks = _table("What is not used as it is", "file", "what", "do")
        for remark in project.remarks:
            # Text: a name of the project may look like markup.
            remarks.add_row(Text(remark.path), Text(remark.fault), Text(remark.step))
        parts += [remarks, ""]
    if project.layout.dag_folders:
        parts.append("`windtunnel up` starts a stack with it.")
    else:
        parts.append("`windtunnel up` starts no stack with it before it has a DAG folder.")
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _found(project: Project) -> Table:
    layout = project.layout
    packages = project.packages
    noun = "requirement" if packages.count == 1 else "requirements"
    rows = [
        ("DAG folders", listed(layout.dag_folders), ""),
        ("plugins", layout.plugins or "", ""),
        ("include", layout.include or "", ""),
        ("import path", listed(layout.import_path), ""),
        ("working folder", layout.working_folder, ""),
        ("state folder", project.state_folder or "", ""),
        ("Airflow", _version(project.airflow), project.airflow.source),
        ("Airflow that runs", versions.release(project.airflow), ""),
        ("Python", _version(project.python), project.python.source),
        ("packages", f"{packages.count} {noun}", listed(packages.files)),
        ("packages of the image", listed(project.image_packages), "imports"),
        ("lock", packages.lock or "", ""),
        ("own environment", "names windtunnel" if packages.own_environment else "", ""),
        ("constraints", listed(packages.constraints), ""),
        ("variables", listed(project.variables), ".env" if project.variables else ""),
        (
            "settings",
            listed(project.options.taken) if project.options else "",
            project.options.file if project.options else "",
        ),
        ("local settings", project.local_settings or "", ""),
    ]
    for objects in project.objects:
        for kind in ("connections", "variables", "pools"):
            names = getattr(objects, kind)
            if names:
                rows.append((f"Airflow {kind}", listed(names), objects.file))
    rows += [("services replaced", listed(each.replaced), each.file) for each in project.compose]
    table = _table(f"Project {clean(str(project.root))}", "what", "found", "in")
    for name, found, source in rows:
        shown = Text(found) if found else Text(NOTHING, style="dim")
        table.add_row(name, shown, Text(clean(source)))
    return table


def _version(claim: Claim) -> str:
    return clean(versions.exact(claim) or claim.specifier)
