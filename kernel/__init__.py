"""What runs in the notebook's process: session, futures, magics, output, Stop.

Owns the user's side. Never decides where work runs. Read next: `api.py`, `session.py`, `magics.py`.
"""
