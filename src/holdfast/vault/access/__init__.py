"""Who may do what: creating a vault, its configuration, its members."""
