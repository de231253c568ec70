"""The client of Salesforce: login, REST, Bulk 2.0 queries, limits. Knows nothing of our objects and tables."""
