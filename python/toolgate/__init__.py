"""toolgate: who is calling an MCP server, may they, may they now - and one record of that decision."""
