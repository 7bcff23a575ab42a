"""Daemons that violate one MUST each, and must be found out."""
