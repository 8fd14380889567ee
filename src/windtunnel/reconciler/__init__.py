"""Repairs the damage of a crash: `python -m windtunnel.reconciler`, one per database.

Each file looks at one thing: lost tasks, lost messages, leases, silent tasks, this machine.
Imports runtime and below.
"""
