"""Bake the template, and use what comes out as its users would."""
