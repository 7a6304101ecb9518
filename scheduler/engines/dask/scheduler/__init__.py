"""What of the dask engine runs in Dask's scheduler: sessions that outlive kernels, actors that outlive hosts.

Never imports the notebook's part. Read next: `keeper.py`, `registry.py`, `relay.py`.
"""
