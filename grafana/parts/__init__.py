"""What the dashboards are built of: queries, variables, and panels of one style."""
