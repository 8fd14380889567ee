"""`windtunnel bench`: the same work on a private stack of ours and on one with Airflow's own settings, in one run.

Method and caveats: docs/BENCHMARKS.md.
"""
