"""Post-training quantization: one paper, one file."""
