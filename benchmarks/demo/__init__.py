"""The demonstration: from data to answers of a real server, told for people."""
