"""Objects that have to be asked for before they can be read: the archive classes of the clouds."""
