"""Passes that make transposes vanish: into index maps, through what treats axes alike."""
