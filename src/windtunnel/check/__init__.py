"""Checks DAG files without a stack: imports, ids, queues, pools, connections, top-level access.

`checker.py` is what others use. `server.py` and what it imports run on the project's interpreter.
Imports stack and below.
"""
