"""Which settings go together: the language of rules, their table, and checks that the language cannot say."""
