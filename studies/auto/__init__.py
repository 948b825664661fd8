"""Searches that fit into a time: measured first, planned, and then run exactly as planned."""
