"""Ways to a phone that go in both directions."""
