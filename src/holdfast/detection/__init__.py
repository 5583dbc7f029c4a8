"""What is wrong, and who says so: probes, observers, quorum, safety rules, incidents. Judged purely."""
