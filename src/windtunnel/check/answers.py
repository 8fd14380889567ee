"""Answers a DAG file's questions for variables and connections, as Airflow's DAG processor would.

The processor gives a parsing process a channel, `SUPERVISOR_COMMS`, and answers from Airflow's
database. Here the project's files answer, and each question is noted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from windtunnel.check.own_code import OwnCode
from windtunnel.runtime import project_object_files

#: Fields of a connection that both of Airflow's classes have.
FIELDS = ("conn_id", "conn_type", "host", "schema", "login", "password", "port", "extra")


class Objects:
    """The connections and variables of the project's files, with their values."""

    def __init__(self, files: list[Path]) -> None:
        self.connections: dict[str, dict[str, Any]] = {}
        self.variables: dict[str, str] = {}
        for file in files:
            try:
                for kind, name, make in project_object_files.read(file):
                    if kind == "connections":
                        made = make()
                        self.connections[name] = {field: getattr(made, field) for field in FIELDS}
                    elif kind == "variables":
                        self.variables[name] = str(make().val)
            except Exception as error:  # Airflow's parsers raise what they like.
                print(f"{file.name} cannot be read: {error}", flush=True)


class Answers:
    """Stands in for the channel to the supervisor."""

    def __init__(self, objects: Objects, own: OwnCode) -> None:
        self.asked: list[dict[str, Any]] = []
        self._objects = objects
        self._own = own

    def send(self, message: Any) -> Any:
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time import comms

        if isinstance(message, comms.GetVariable):
            value = self._objects.variables.get(message.key)
            self._note("reads", "variable", message.key, value is not None)
            if value is not None:
                return comms.VariableResult(key=message.key, value=value)
            return comms.ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)
        if isinstance(message, comms.GetConnection):
            fields = self._objects.connections.get(message.conn_id)
            self._note("reads", "connection", message.conn_id, fields is not None)
            if fields is not None:
                return comms.ConnectionResult(**fields)
            return comms.ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)
        if isinstance(message, comms.PutVariable | comms.DeleteVariable):
            self._note("changes", "variable", message.key, True)
            return comms.OKResponse(ok=True)
        return None if type(message).__name__ == "MaskSecret" else comms.ErrorResponse()

    async def asend(self, message: Any) -> Any:
        return self.send(message)

    def _note(self, verb: str, kind: str, name: str, known: bool) -> None:
        frames = self._own.frames(sys._getframe(1))
        if frames:
            new = {"verb": verb, "kind": kind, "name": name, "known": known, "frames": frames}
            if new not in self.asked:
                self.asked.append(new)
