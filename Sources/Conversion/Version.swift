/// The version of this tool: the only place where it stands.
public let toolVersion = "0.1.0"
