"""Encodings."""
def encodings_text(network): return ""
