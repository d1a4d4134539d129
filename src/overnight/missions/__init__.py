"""The nouns: what a person asked for, and what became of it. Frozen values, no behaviour that touches the world."""
