"""Pruning that is learned: variational posteriors of gates on groups of channels."""
