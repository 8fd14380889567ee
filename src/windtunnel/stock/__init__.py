"""The same failures on a private stack with Airflow's own settings.

The stack itself is the one that `bench` compares with.
"""
