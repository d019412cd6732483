"""What is shown of settings: explanations, differences, derived values, reports of findings, the JSON Schema."""
