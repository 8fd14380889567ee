"""Which variables and settings of Airflow belong to the stack, and may not come from a project.

These are the ports, folders, secrets and addresses of one stack, and the settings that its failure
guarantees rest on. A test compares the table with airflow-home/airflow.cfg.
"""

from __future__ import annotations

import re
from functools import cache

from windtunnel.settings import load

#: Sections and their options; an empty set is the whole section.
OPTIONS: dict[str, frozenset[str]] = {
    "core": frozenset(
        {
            "auth_manager",
            "dags_folder",
            "execution_api_server_url",
            "executor",
            "fernet_key",
            "hostname_callable",
            "simple_auth_manager_passwords_file",
            "simple_auth_manager_users",
            # The place of it before Airflow 2.3; many compose files still have it.
            "sql_alchemy_conn",
        }
    ),
    "database": frozenset({"sql_alchemy_conn", "sql_alchemy_conn_async"}),
    "api": frozenset({"host", "port", "base_url", "secret_key"}),
    "api_auth": frozenset({"jwt_secret"}),
    "celery": frozenset(
        {
            "broker_url",
            "result_backend",
            "celery_config_options",
            "flower_host",
            "flower_port",
            "flower_basic_auth",
        }
    ),
    "celery_broker_transport_options": frozenset(),
    "scheduler": frozenset(
        {
            "enable_health_check",
            "scheduler_health_check_server_host",
            "scheduler_health_check_server_port",
            "task_instance_heartbeat_timeout",
            "task_queued_timeout",
        }
    ),
    "dag_processor": frozenset({"dag_bundle_storage_path"}),
    "logging": frozenset({"base_log_folder", "dag_processor_child_process_log_directory"}),
}
#: Variables of the stack beside those that `Settings.environment` gives to Airflow.
MORE = frozenset({"AIRFLOW_CONFIG", "POSTGRES_MAX_CONNECTIONS", "PYTHONHOME", "PYTHONPATH"})
OF_AIRFLOW = re.compile(r"AIRFLOW__([A-Z0-9_]+?)__([A-Z0-9_]+)")


def option(section: str, key: str) -> bool:
    """Whether this setting is the stack's; `key` may also be a `_cmd` or a `_secret`."""
    keys = OPTIONS.get(section.lower())
    plain = key.lower()
    forms = {plain, plain.removesuffix("_cmd"), plain.removesuffix("_secret")}
    return keys is not None and (not keys or not forms.isdisjoint(keys))


def variable(name: str) -> bool:
    """Whether this environment variable is the stack's."""
    if match := OF_AIRFLOW.fullmatch(name):
        return option(match[1], match[2])
    if name.startswith(("WINDTUNNEL_", "PC_")) or name in MORE:
        return True
    return name in _of_the_stack()


@cache
def _of_the_stack() -> frozenset[str]:
    return frozenset(load({}, client=False).environment())
