"""The room that runs work: a pure core, the processes around it, and the engines a notebook can drive.

Owns placing, running and surviving. Never knows notebooks, widgets or web servers.
Read next: `core/` (decisions), `wire/` (messages), `hub/`, `nursery/` and `worker/` (processes),
`engines/` (the contract that the kernel side speaks).
"""
