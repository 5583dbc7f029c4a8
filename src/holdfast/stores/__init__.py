"""Where bytes lie: one small protocol, its adapters (folder, memory, clouds), and wrappers named by what they add."""
