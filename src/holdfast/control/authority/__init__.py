"""Who acts, and whether they may: identities, policies in force, decisions and their records, break-glass."""
