"""What of the dask engine runs in each Dask worker: the door to the hub beside it, and tasks in its threads.

Never imports the notebook's part. Read next: `plugin.py`, `beside.py`, `work.py`.
"""
