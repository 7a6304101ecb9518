"""Actors as a notebook uses them: objects that live in processes of their own, and handles to them.

Owns the way from `@cm.actor` to a running object and from `h.method(x)` to its result. Never decides where an
actor lives: the engine does. Read next: `classes.py`, `handle.py`, `caller.py`.
"""
