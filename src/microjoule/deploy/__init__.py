"""A network to something that runs elsewhere; run it there, measure it, compare it with the simulation."""
