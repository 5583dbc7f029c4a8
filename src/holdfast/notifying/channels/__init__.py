"""Ways to tell somebody: one adapter each, behind `Sender`. Each sends one message, or says why not; none retries."""
