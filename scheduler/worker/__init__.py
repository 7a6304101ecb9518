"""What runs a task inside a worker process, in its main thread, and what happens around it.

Owns running, output, errors, interrupts, edited modules and logs of one process. Never knows the hub, the
notebook or another worker: it is handed messages and callables. Read next: `runner.py`, then `cells.py`,
`output.py`.
"""
