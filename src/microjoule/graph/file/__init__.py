"""A network as a file, and back: names and tensors alone, nothing that runs."""
