"""Settings as flags: made from the models, stored in a table, shown in help, offered to shells."""
