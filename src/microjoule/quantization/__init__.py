"""Placement, simulation and calibration of quantizers."""
