"""Who calls: certificates, callers and their roles, quotas, and the access log."""
