"""What tests of many rooms need alike: a repository, a computer with Overnight's command line on it, and patience."""
