"""What a run takes, worked out before it starts: memory, time and disk, from the settings and the model's shapes."""
