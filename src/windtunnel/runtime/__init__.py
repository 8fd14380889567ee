"""Our code that is loaded inside Airflow, Celery and Flower, through their own options.

component.py starts each process, airflow.cfg names celery_config.py; no internal is replaced here.
Imports patches and below.
"""
