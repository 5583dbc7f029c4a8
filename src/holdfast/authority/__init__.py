"""Who may do what: identities, policies, decisions. See docs/authority.md."""
