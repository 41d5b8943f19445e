"""Where patients come from: engines, readers, downloads."""
