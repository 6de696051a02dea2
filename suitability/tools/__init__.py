"""The command line of the rules: for people who write, explain, simulate and sign policies."""
