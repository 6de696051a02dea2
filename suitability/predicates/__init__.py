"""The predicates: each one function from a pair to its first failing test's code; `table` lists them."""
