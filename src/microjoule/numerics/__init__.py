"""Tensor functions and values: grids, ranges, statistics, errors. Nothing here knows a network."""
