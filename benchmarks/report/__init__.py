"""Reports on a model for people: what it learned, whom it serves how well, and what suitability costs."""
