"""Benchmarks: the same cases through cellmesh and through the peers that are installed.

Owns measuring, pairing and printing. Never asserts: figures are read by people.
Read next: `__main__.py` (what runs), `harness.py` (how it is paired), `contenders/`.
"""
