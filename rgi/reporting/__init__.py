"""Tables, figures and the report: what a person reads of an experiment."""
