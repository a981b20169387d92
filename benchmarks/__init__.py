"""Measured comparisons: each module is one command, and writes one table into `results/`."""
