"""The nursery: parent of the hub, the templates and the workers.

Owns processes: it starts, adopts, reaps and ends them, and sweeps up what they leave. Never runs user
code, never imports zmq, never knows what work is. Read next: `start.py` (how it is started), `nursery.py`.
"""
