"""Flower for this stack's broker, as `airflow celery flower` starts it, without Airflow.

    python -m windtunnel.runtime.flower_server

Flower needs Celery, the broker's URL and a few options. So it takes 0.6 instead of 2.8 CPU-seconds
at start (docs/BENCHMARKS.md). This file is kept for the memory: 51 instead of 133 MiB after the
imports, for as long as Flower runs. A broker over TLS, `extra_celery_config` and a secrets backend
need Airflow: then Airflow's own command starts Flower.
"""

from __future__ import annotations

from typing import Any

from celery import Celery

from windtunnel.brokers import choice
from windtunnel.patches import catalogue
from windtunnel.runtime import component
from windtunnel.runtime.airflow_options import AirflowOptions, OutOfReach, converted
from windtunnel.variables import patch_switch

#: Airflow's default of `[celery] celery_app_name`; Flower shows it.
APP_NAME = "airflow.providers.celery.executors.celery_executor"
DICTIONARIES = ("sentinel_kwargs", "predefined_queues", "predefined_exchanges", "client-config")


def celery_settings(options: AirflowOptions) -> dict[str, Any]:
    """The executor's Celery settings that Flower uses.

    Source: default_celery.py of the provider, and our celery_config.py.

    Raises:
        OutOfReach: only Airflow itself can compute them.
    """
    extra = options.json("celery", "extra_celery_config")
    if extra or converted(options.get("celery", "ssl_active", "False")):
        raise OutOfReach("extra_celery_config or ssl_active is set")
    broker = options.get("celery", "broker_url")
    transport = options.section("celery_broker_transport_options")
    kind = choice.of_url(broker)
    plain = broker.startswith(("redis://", "amqp://"))
    if kind is None or not plain or any(name in transport for name in DICTIONARIES):
        raise OutOfReach("the broker is not plain Redis, Valkey or RabbitMQ")
    queue = options.get("operators", "default_queue", "default")
    result_backend = options.get("celery", "result_backend")
    engine = options.json("celery", "result_backend_sqlalchemy_engine_options")
    config = {
        "broker_url": broker,
        "broker_transport_options": {"visibility_timeout": 86400} | transport,
        "broker_connection_retry_on_startup": True,
        "result_backend": result_backend,
        "database_engine_options": engine,
        "accept_content": ["json"],
        "event_serializer": "json",
        "task_default_queue": queue,
        "task_default_exchange": queue,
        "task_send_sent_event": True,
        "worker_send_task_events": True,
    }
    kind.celery(config)
    return config


def command_line(options: AirflowOptions) -> list[str]:
    """Flower's arguments. They contain its password, so they stay inside this process."""
    given = {
        "address": options.get("celery", "flower_host", "127.0.0.1"),
        "port": options.get("celery", "flower_port", "5555"),
        "url-prefix": options.get("celery", "flower_url_prefix"),
        "basic-auth": options.get("celery", "flower_basic_auth"),
    }
    broker = options.get("celery", "broker_url")
    if kind := choice.of_url(broker):
        given |= kind.flower(broker)
    return ["flower", *(f"--{name}={value}" for name, value in given.items() if value)]


def main() -> None:
    # celery_config.py applies no patches in Flower: they are applied here, for both ways to start.
    catalogue.apply("flower")
    catalogue.record("flower")
    try:
        if patch_switch.as_in_production():
            raise OutOfReach("WINDTUNNEL_PATCHES is none")
        options = AirflowOptions()
        settings = celery_settings(options)
        arguments = command_line(options)
    except OutOfReach as reason:
        print(f"windtunnel: Flower is started by Airflow: {reason}", flush=True)
        return component.main(["celery", "flower"])
    component.calm_collector()
    end = component.QuickEnd()
    app = Celery(APP_NAME, config_source=settings)

    app.task(name="execute_workload")(execute_workload)
    end.run(lambda: app.start(arguments))


def execute_workload(input: str) -> None:
    """A stand-in for the task that workers run, so that Flower knows its name."""
    raise NotImplementedError("workers do this")


if __name__ == "__main__":
    main()
