"""Real parts for tests: a Jupyter server, a notebook on it, and the count of what is left behind."""
