"""Memory of finished work: fingerprints, records, runs. All SQL lives here."""
