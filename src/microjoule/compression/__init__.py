"""Networks with less work for about the same outputs: low-rank forms of layers."""
