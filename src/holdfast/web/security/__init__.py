"""Who asks, by which proof, and whether they may: nothing of a route is reached before that."""
