"""What of the dask engine runs in the notebook's process: the hosts and their cells, the pool and its tasks.

Read next: `fleet.py` (hosts, cells, actors), `pool.py` (tasks), `ways.py` (how a worker is reached).
"""
