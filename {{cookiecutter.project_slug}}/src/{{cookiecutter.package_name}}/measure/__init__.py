"""Where the time of training goes, and what each switch brings."""
