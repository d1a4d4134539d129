"""What models were used, what it cost, and how much of a limit is left: counted, never guessed."""
