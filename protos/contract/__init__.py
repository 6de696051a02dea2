"""Generation and checks of the wire contract; for this repository only, not part of the client wheel."""
