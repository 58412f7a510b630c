"""Runs over many photos, studies of methods against attackers, their tables and figures."""
