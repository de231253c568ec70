"""The volunteer management system: Salesforce objects and spreadsheets into PostgreSQL."""
