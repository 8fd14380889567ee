"""Prepares the services that Airflow needs: state folder, secrets, PostgreSQL, NOTIFY.

Each file makes or runs one of them.
Imports ledger and below.
"""
