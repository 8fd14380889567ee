"""Repairs the damage of a crash: `python -m windtunnel.reconciler`, one per database.

Each file watches one thing: broker, database, leases, machine, silent tasks.
Imports runtime and below.
"""
