"""The network: a graph with typed views, walking, editing, folding."""
