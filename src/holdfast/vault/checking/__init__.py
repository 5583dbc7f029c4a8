"""Is it all there, and is it right: reading back one snapshot, checking a whole vault."""
