"""Choosing under a budget: problems, solutions, checkers, solvers. Plain numbers; nothing here knows a network."""
