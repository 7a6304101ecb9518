"""The scheduler's mind: events in, commands out.

Owns all scheduling state and every decision. Never touches sockets, processes, clocks or payload
bytes: time, ids and sizes arrive inside events, and everything to be done leaves as commands.
Read next: `events.py`, `commands.py`, then `core.py`.
"""
