"""Our code that is loaded inside Airflow, Celery and Flower, through their own options.

component.py starts each process, celery_config.py is named in airflow.cfg; nothing internal is replaced here.
Imports patches and below.
"""
