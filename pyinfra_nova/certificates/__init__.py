"""The site's own authorities and the certificates that they give out; nothing here asks a host."""
