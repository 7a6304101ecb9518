"""User objects as bytes: pickles, shared-memory segments, functions that follow the notebook, failures.

Owns how objects travel. Never decides when they are sent or freed: the hub and the kernel do.
Read next: `segments.py`, `codec.py`, `namespaces.py`, `failures.py`.
"""
