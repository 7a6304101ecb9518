"""What crosses process borders: messages, links, folders, and what differs by operating system.

Owns formats and addresses. Never decides anything about work.
Read next: `messages.py`, then `link.py`, `folders.py`, `system.py`.
"""
