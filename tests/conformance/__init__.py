"""The conformance suite: black-box, it needs only an address."""
