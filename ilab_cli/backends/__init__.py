"""One package for each kind of work: a light ``launch`` module checks and starts, a ``worker`` does it."""
