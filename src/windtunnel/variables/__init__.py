"""Checks the values of a person's variables: names of queues and patches, numbers of connections.

Nothing here looks at a stack.
Imports errors only; settings is built on it.
"""
