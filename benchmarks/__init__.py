"""Speed and size beside the floor: ``nox -s benchmarks``."""
