"""Holding process trees together, and ending them; imports only the standard library."""
