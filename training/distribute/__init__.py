"""Devices and machines."""
