"""Networks; a module imports what it needs only when a network is built."""
