"""Was the proof itself bent? Tests, expected values and the settings of checks, before and after, read by syntax."""
