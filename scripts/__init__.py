"""Programs behind the make targets of the template."""
