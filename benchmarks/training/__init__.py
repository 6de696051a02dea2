"""The benchmark of training: how fast the two towers learn, in what memory, and what each setting changes."""
