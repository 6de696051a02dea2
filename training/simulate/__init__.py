"""A simulated platform: learners and investors, courses and financial products, profiles and behaviour."""
