"""The journal of a run: what was done, at several sites, so that any control plane can go on (design/009)."""
