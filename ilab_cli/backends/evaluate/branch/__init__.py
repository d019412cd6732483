"""Branch benchmarks: what training on a taxonomy did, leaf by leaf: the trained model against the one before."""
