"""What must be there before Airflow starts: state folder, secrets, Valkey, PostgreSQL, NOTIFY.

Each file makes or runs one of them.
Imports ledger and below.
"""
