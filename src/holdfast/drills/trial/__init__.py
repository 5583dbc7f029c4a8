"""An organisation of a drill's own: its sites, keys, machines and people, below one folder."""
