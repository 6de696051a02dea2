"""Models of a borrower's risk: the probability that a payment is missed, as basis points and a band."""
