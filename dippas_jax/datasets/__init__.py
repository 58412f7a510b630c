"""Readers of photos: folders of real cameras, simulated cameras, and manifests of what was used."""
