"""The command that is run: its process group and terminal, the signals for it, and how it died."""
