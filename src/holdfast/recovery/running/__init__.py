"""Running a plan: what it does is in actors, what was done is in the journal, and here is only the order."""
