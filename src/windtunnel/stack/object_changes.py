"""`windtunnel up` beside a running stack: changed connections, variables and pools are imported.

Nothing is stopped for them: Airflow reads each from its database when a task or DAG file asks.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace

from windtunnel.clients import process_compose
from windtunnel.clients.postgres import connect
from windtunnel.errors import WindtunnelError
from windtunnel.project import record
from windtunnel.project.folder import listed
from windtunnel.project.survey import Project
from windtunnel.services import migration_gate, project_objects, state_folder
from windtunnel.settings import Settings
from windtunnel.stack.say import say


def bring(project: Project, settings: Settings) -> bool:
    """Import the files that have changed; returns False where none has.

    Args:
        settings: of the running stack.

    Raises:
        WindtunnelError: a file is damaged, or the import failed.
    """
    known = record.read(settings.state)
    server = process_compose.server(settings)
    # A stack that is coming up imports them itself.
    if known is None or server is None or not migration_gate.is_done(settings, server.pid):
        return False
    now = [each.file for each in project.objects]
    changed = project_objects.changed(settings, dict.fromkeys([*known.objects, *now]))
    for remark in project.remarks:
        if remark.path in changed and remark.path not in now:
            raise WindtunnelError(f"{remark.path}: {remark.fault}: {remark.step}")
    changed = [name for name in changed if name in now]
    if not changed:
        return False
    say(f"{listed(changed)} changed: importing, and the stack runs on")
    known = replace(known, objects=now)
    state_folder.write_private(settings.state / record.NAME, known.text())
    # Airflow's settings name the stack's database by these.
    os.environ |= settings.environment()
    with contextlib.closing(connect(settings)) as connection:
        done = project_objects.bring(settings, connection)
    if not done:
        raise WindtunnelError("not everything was imported: correct what the lines above name")
    return True
