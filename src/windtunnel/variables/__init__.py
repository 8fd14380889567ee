"""Which values a person's variables may have, and what follows from them.

Names of queues and patches, numbers of connections: arithmetic and refusals, no stack is looked at.
Imports errors only; settings is built on it.
"""
