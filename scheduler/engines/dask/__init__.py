"""The dask engine: the same notebook on a Dask cluster.

Owns nothing by itself. Read next: `plugin.py` (what runs in each Dask worker), `mirror.py` (how its
sidecars are reached), `engine.py` (the contract).
"""
