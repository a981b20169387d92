"""What the running service tells about its model: feedback for the next training."""
