# filled by its directory
