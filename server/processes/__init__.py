"""Several processes that serve one port of one machine: who starts them, restarts them and drains them."""
