"""MT-Bench: questions of two turns to a model that is served, and a judge that rates each answer from 1 to 10."""
