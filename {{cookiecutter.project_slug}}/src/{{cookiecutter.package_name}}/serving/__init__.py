"""The exported model behind HTTP."""
