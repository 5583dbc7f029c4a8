"""Making a vault sound again: from its own packs, from replicas; and saying exactly what is lost where that fails."""
