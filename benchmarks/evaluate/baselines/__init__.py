"""Baselines that stand beside the models in every table; `table` lists them."""
