"""The daemon: listeners, sessions, requests."""
