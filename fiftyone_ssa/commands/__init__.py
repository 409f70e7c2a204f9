"""One file a command: its arguments, the library's call, and what is said."""
