"""What notebook, Dask's scheduler and Dask's workers say to each other.

Read next: `orders.py` (tasks), `lodge.py` (actors), `streams.py` (whatever is passed on).
"""
