"""Facts and services of this machine's kernel: processes, disks, folders, waiting; logs.

Knows no stack and no service.
Imports errors only.
"""
