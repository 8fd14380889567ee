"""Measures start-up, latency and throughput, beside Airflow's stock configuration.

Everything it starts lies in folders of its own.
Imports drill and below.
"""
