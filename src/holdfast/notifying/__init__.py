"""Who is told of an incident, over which channel, and until when (docs/alerts.md)."""
