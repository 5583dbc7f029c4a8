"""Who is told of an incident, how, and until when: judged purely (`due.py`), sent by adapters (`channels/`)."""
