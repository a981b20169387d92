"""Train, evaluate, export and serve an image classifier; see docs/how-it-works.md."""
