"""The users that a server knows: their pseudonyms, their profiles, and the stores that keep them."""
