"""The command line: noun, then verb. stdout carries data, stderr talk and progress."""
