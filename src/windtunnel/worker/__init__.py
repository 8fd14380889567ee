"""The supervisor of one Celery worker: `python -m windtunnel.worker`.

It starts, watches, drains and restarts Celery, and imports no Airflow.
Imports runtime and below.
"""
