"""How many instructions the kernel takes, counted by callgrind: a busy machine changes nothing."""
