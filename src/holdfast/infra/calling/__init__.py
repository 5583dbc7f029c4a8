"""Calling what others wrote: commands, Python functions, playbooks, webhooks. No keys of Holdfast reach any of them."""
