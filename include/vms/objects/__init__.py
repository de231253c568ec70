"""One module per Salesforce object; each declares `OBJECT`. A new file here is a new sync."""
