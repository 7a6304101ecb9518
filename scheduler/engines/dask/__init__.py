"""The dask engine: the same notebook on a Dask cluster.

Its rooms are the processes that it runs in: `notebook/`, `worker/` (each Dask worker) and `scheduler/`
(Dask's own); `between/` is what these say to each other. Read next: `connecting.py` (the checks),
`engine.py` (the contract).
"""
