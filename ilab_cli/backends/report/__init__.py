"""A page about runs: one HTML file that holds all it shows, made from what the run folders say."""
