"""The supervisor of one Celery worker: `python -m windtunnel.worker`.

It starts Celery, watches, drains and mends it, and imports no Airflow.
Imports runtime and below.
"""
