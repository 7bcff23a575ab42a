"""The program that forks: a plan in, a child of the daemon out."""
