"""The benchmark of retrieval: every strategy's time, with its recall under the filter beside it."""
