"""Users: who they are, their hours, contacts and addresses."""
