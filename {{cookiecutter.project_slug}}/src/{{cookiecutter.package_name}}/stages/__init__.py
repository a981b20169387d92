"""One thin module per DVC stage: read files, call the library, write files."""
