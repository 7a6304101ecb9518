"""The hub's process: the shell around the core.

Owns the ROUTER socket, the journal, payloads in transit and the timers. Never decides anything about work:
messages become events, `core.handle` decides, commands become messages.
Read next: `main.py` (process and loop), `hub.py` (messages in, commands out).
"""
