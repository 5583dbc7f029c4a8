"""Recovery: an intent and probed facts become a plan that can be read, reviewed and run (design/009)."""
