"""Reading a study back: tables and summaries for people."""
