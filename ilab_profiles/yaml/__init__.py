"""YAML and JSON text: read with positions, written, edited in place; files replaced atomically. Knows no setting."""
