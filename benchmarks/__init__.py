"""What microjoule claims, as commands that measure it: `python -m benchmarks --list`."""
