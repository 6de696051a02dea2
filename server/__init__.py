"""The online path: request in, suitable products out."""
