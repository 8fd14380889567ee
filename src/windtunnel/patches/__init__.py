"""Every place where this project replaces an internal of Airflow, Celery or Flower; nothing else may.

catalogue.py is the list; a patch is applied whole or left out with one warning.
Imports services and below.
"""
