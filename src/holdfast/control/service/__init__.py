"""What a server knows and does, for the API and the pages alike: reading and acting."""
