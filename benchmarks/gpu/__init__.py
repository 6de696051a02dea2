"""The GPU suite: parity with the CPU and speed, or "not measured" where there is no GPU."""
