"""The version of this cellmesh, where every room may read it (rooms never import the facade)."""

VERSION = "0.1.0"
