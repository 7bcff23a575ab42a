"""The protocol without I/O: frames, values, messages and the state of both peers."""
