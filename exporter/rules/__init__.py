"""Rules in CEL, their evaluation for each task, and the violations that they find."""
