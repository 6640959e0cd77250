"""The long-lived process that runs graphs and keeps pods in sync."""
