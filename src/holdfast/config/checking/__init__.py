"""What is wrong with a file whose every word is understood: names that mean nothing, promises that cannot be kept."""
