"""An actor's process: one living object, and whoever calls it.

Owns the object's life inside its process: made or restored, called, watched over, moved to new code. Never
decides when it lives or dies: the hub does. Read next: `host.py`, `door.py`, `calling.py`.
"""
