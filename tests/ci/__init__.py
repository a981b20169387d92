"""The generated project's CI: its workflows, what they leave behind, and where data goes."""
