"""Every place where this project replaces an internal of Airflow, Celery or Flower.

catalogue.py is the list; a patch is applied whole or left out with one warning.
Imports services and below.
"""
