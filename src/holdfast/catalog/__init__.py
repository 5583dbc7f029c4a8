"""What is known of the sites, in tables: a projection. Made by looking, thrown away at will; it decides nothing."""
