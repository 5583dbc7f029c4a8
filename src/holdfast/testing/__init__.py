"""The shipped vocabulary of faults and contracts: for authors of stores, for drills, and for our own tests."""
