"""Our code that Airflow, Celery and Flower load through their own options.

component.py starts each process, airflow.cfg names celery_config.py; no internal is replaced here.
Imports patches and below.
"""
