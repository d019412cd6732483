"""What machine is here: GPUs, memory and cores, one file for each source that tells of them. Nothing needs torch."""
