"""The site: static files that show the work, with the model running in the visitor's browser."""
