"""Mixing data sets by recipe: ``launch`` checks and starts, the other modules do it; none needs an engine."""
