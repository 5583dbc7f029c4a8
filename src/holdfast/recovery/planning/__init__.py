"""From an intent and facts to a plan: pure, so that every situation can be written down and kept under test."""
