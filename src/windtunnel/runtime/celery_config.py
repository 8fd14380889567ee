"""Celery's settings for Airflow.

    [celery] celery_config_options = windtunnel.runtime.celery_config.CELERY_CONFIG

Every process that loads the Celery executor imports this: scheduler, workers, Flower,
`airflow celery ...`. It holds the settings that airflow.cfg cannot express, and those that belong
together; the rest is in airflow-home/airflow.cfg. `[celery] extra_celery_config`, where a person
puts settings, overrides both.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from celery.signals import before_task_publish

from windtunnel.brokers import choice
from windtunnel.patches import catalogue
from windtunnel.runtime import airflow_conf, broker_gate, celery_signals, version_skew


def _ours() -> dict[str, Any]:
    config: dict[str, Any] = {
        # Publishing never gives up by itself. `operation_timeout` ends each attempt, and its
        # exception means "try again".
        "task_publish_retry": True,
        "task_publish_retry_policy": {
            "max_retries": None,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
        "worker_consumer": "windtunnel.runtime.celery_consumer:ResilientConsumer",
        # Celery's default gives up after 100 attempts (46 min), and then exits with code 0.
        "broker_connection_max_retries": None,
        "broker_connection_retry": True,
        # Without it a result is dropped while the database is away, and the executor's slot leaks.
        "result_backend_always_retry": True,
        # A message delivered again after its task succeeded is skipped.
        "worker_deduplicate_successful_tasks": True,
        # A lost connection says nothing about the tasks in hand (this becomes True in Celery 6).
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # 4 s is too short for forking a pool on a loaded machine.
        "worker_proc_alive_timeout": 30,
        # Reserve no more than can run: the other workers cannot take a reserved message.
        "worker_disable_prefetch": True,
        # For Flower.
        "worker_send_task_events": True,
        "task_send_sent_event": True,
    }
    count = os.environ.get("WORKER_MAX_TASKS_PER_CHILD", "").strip()
    if count.isdigit():  # windtunnel.settings reports any other value
        config["worker_max_tasks_per_child"] = int(count) or None
    return config


#: For a team of Airflow's (`[core] multi_team`), which names it in its own `celery_config_options`.
#: The provider (3.26.0) takes this option as the whole configuration of the global executor, so
#: CELERY_CONFIG holds Airflow's defaults too. But it merges the option over a team's own settings
#: (celery_executor_utils.py, `_get_celery_app` and `create_celery_app`), so a team that named
#: CELERY_CONFIG would get the global broker.
OURS: dict[str, Any] = _ours()


def _build() -> dict[str, Any]:
    given = airflow_conf.conf().getjson("celery", "extra_celery_config", fallback={})
    extra: dict[str, Any] = given if isinstance(given, dict) else {}
    config: dict[str, Any] = DEFAULT_CELERY_CONFIG | OURS | extra
    config["broker_transport_options"] = dict(config.get("broker_transport_options") or {})
    broker = choice.of_url(config["broker_url"])
    if broker:
        broker.celery(config)
    # A person's option wins over ours for the broker too.
    return config | {k: v for k, v in extra.items() if k != "broker_transport_options"}


CELERY_CONFIG: dict[str, Any] = _build()

broker_gate.connect(CELERY_CONFIG["broker_url"], AirflowTaskTimeout)
celery_signals.connect()
worker = os.environ.get("WINDTUNNEL_WORKER")
if worker:
    catalogue.apply("worker", late=True)
    if sys.argv[1:3] == ["celery", "worker"]:  # not a program that a task starts
        catalogue.record(worker)
if "scheduler" in sys.argv[1:2]:
    before_task_publish.connect(version_skew.stamp, weak=False, dispatch_uid="windtunnel-skew")
    catalogue.apply("scheduler", late=True)
    catalogue.record("scheduler")
