"""Saving: source → regions → chunks → known? → coded → packs → index → parts → root → latest."""
