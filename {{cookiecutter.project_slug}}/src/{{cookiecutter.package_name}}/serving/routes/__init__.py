"""The HTTP API, one module for each thing that it offers."""
