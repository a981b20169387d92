"""Tests with small real data, real files and a real server."""
