"""May this action happen? Pure: a call and a policy go in, a verdict with its reason comes out."""
