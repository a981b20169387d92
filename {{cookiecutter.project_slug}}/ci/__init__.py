"""What CI does around the pipeline, behind make targets.

Only the standard library, so that a job that holds a write token installs nothing.
"""
