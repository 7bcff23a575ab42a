"""The command ``procnursery``."""
