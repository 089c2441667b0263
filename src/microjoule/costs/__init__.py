"""A network to numbers with units; what targets can run."""
