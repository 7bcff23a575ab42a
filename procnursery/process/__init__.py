"""One managed process, its output, and the registry of all of them."""
