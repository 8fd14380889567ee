"""Each worker's entries in the state folder, and how others read them after a crash.

Fencing belongs here: a dead worker's processes are killed before anyone takes over its tasks.
Imports clients and below.
"""
