"""The other face beside the command line: API and dashboard (docs/server.md). It only calls control."""
