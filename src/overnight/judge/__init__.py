"""What do these facts mean? Pure decisions about recorded facts."""
