"""Engines: one contract, several ways to run work.

Owns `contract.py` and its implementations. Never imports the notebook side.
Read next: `contract.py`.
"""
