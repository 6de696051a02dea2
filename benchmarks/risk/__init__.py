"""The benchmark of risk models: how well they tell who defaults, how true they are, and what they cost."""
