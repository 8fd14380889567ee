"""What the kernel of this machine tells and does: processes, disks, folders.

Knows no stack and no service.
Imports errors only.
"""
