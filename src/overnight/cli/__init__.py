"""The command line: verbs for people. Each command is a module that is imported when it is called."""
