"""What is judged before anybody is woken: looks, observers, conditions. Pure but for `probes`, which look."""
