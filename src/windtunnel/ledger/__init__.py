"""What a worker leaves behind in the state folder, and how it is read after a crash.

Fencing belongs here: a dead worker's processes end before anybody takes over its tasks.
Imports clients and below.
"""
