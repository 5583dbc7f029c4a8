"""One class for each tool, with the same verbs. Commands are measured as whole processes, libraries inside of one."""
