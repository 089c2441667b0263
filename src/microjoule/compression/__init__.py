"""Compression: the same function by less work."""
