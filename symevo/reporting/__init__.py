"""What people read: progress on standard error, tables, reports."""
