"""From behaviour to towers: data, models, training."""
